//! What can happen to documents on their road, and to the services that carry them.

/// Gives these entries to the macro `$then`.
macro_rules! with_road {
    ($then:ident) => {
        $then! {
            // --- records (document) ---
            RecordUnreadable = "E_RECORD", Poison,
                en: ("A record in a topic does not carry the headers or the value its topic promises.", "See who wrote it; replay the document from its source."),
                zh: ("主题中的记录缺少约定的消息头或内容无法解析。", "查明写入者，并从源系统重新抽取该单据。");

            // --- value language (flow: reference, filter, function) ---
            Function = "E_FUNCTION", Mapping,
                en: ("A _function expression cannot be parsed or computed.", "Correct the expression; see the position named in the message."),
                zh: ("_function 表达式无法解析或计算。", "按提示位置修正表达式。");
            Filter = "E_FILTER", Mapping,
                en: ("A filter such as |date was given a value it cannot read.", "Correct the source value or the filter."),
                zh: ("过滤器（如 |date）无法读取给定的值。", "修正来源值或过滤器。");
            Type = "E_TYPE", Mapping,
                en: ("A value cannot be turned into the type its field declares.", "Correct the source value or the field's type."),
                zh: ("值无法转换为字段声明的类型。", "修正来源值或字段类型。");
            Limit = "E_LIMIT", Mapping,
                en: ("An expression ran over a limit of steps, depth, length or digits.", "Simplify the expression or the value."),
                zh: ("表达式超出步数、深度、长度或位数上限。", "简化表达式或数据。");
            Lookup = "E_LOOKUP", Mapping,
                en: ("A _findCollection or _mongoQuery statement cannot be split into its parts.", "Correct the statement at the column named in the message."),
                zh: ("_findCollection 或 _mongoQuery 语句无法拆分。", "按提示的列位置修正语句。");

            // --- documents and flow files (flow) ---
            Required = "E_REQUIRED", Validation,
                en: ("A required target field has no value.", "Fill the value in the source document, then replay."),
                zh: ("目标必填字段没有值。", "在源单据补齐该值后重放。");
            Parser = "E_PARSER", Configuration,
                en: ("A field names a parser that does not exist.", "Use one of the parsers the message lists."),
                zh: ("字段引用了不存在的解析器。", "改用提示中列出的解析器。");
            Json = "E_JSON", Configuration,
                en: ("A document is not readable as JSON.", "Correct the text at the line and column named."),
                zh: ("文档不是可读的 JSON。", "按提示的行列修正文本。");
            Toml = "E_TOML", Configuration,
                en: ("A flow file is not readable as TOML.", "Correct the text at the line and column named."),
                zh: ("流程文件不是可读的 TOML。", "按提示的行列修正文本。");
            FlowKey = "E_FLOW_KEY", Configuration,
                en: ("A flow file holds a key that does not exist.", "Remove it or spell it as the hint says; the schema beside the flows lists all keys."),
                zh: ("流程文件中有不存在的键。", "删除该键或按提示改正拼写；流程目录旁的 Schema 列出全部键。");
            FlowValue = "E_FLOW_VALUE", Configuration,
                en: ("A key of the flow file has a value of the wrong kind.", "Write a value of the kind the message names."),
                zh: ("流程文件的键取值类型不对。", "改为提示所要求的类型。");
            FlowMissing = "E_FLOW_MISSING", Configuration,
                en: ("A flow file lacks a key that no flow can do without.", "Add the key."),
                zh: ("流程文件缺少必需的键。", "补上该键。");
            FlowLabel = "E_FLOW_NAME", Configuration,
                en: ("The name of a flow or a tenant cannot be used in a topic name.", "Use 1 to 63 of a-z, 0-9 and inner dashes."),
                zh: ("流程名或租户名不能用于主题名。", "使用 1 到 63 个小写字母、数字或中间的短横线。");
            Duration = "E_DURATION", Configuration,
                en: ("A duration cannot be read.", "Write a number and a unit, such as 30s, 10m or 2d."),
                zh: ("时长无法读取。", "写成数字加单位，例如 30s、10m、2d。");
            Zone = "E_ZONE", Configuration,
                en: ("A time zone is unknown.", "Use an IANA name such as Asia/Shanghai."),
                zh: ("时区名称无法识别。", "使用 IANA 名称，例如 Asia/Shanghai。");
            Cron = "E_CRON", Configuration,
                en: ("A schedule cannot be read as five-field cron, or it never fires.", "Write minute, hour, day, month and weekday."),
                zh: ("计划无法按五段 cron 读取，或永不触发。", "依次写分、时、日、月、周。");
            Instant = "E_INSTANT", Configuration,
                en: ("An instant cannot be read.", "Write RFC 3339 with an offset, such as 2024-01-01T00:00:00+08:00."),
                zh: ("时间点无法读取。", "按 RFC 3339 写出并带时区偏移，例如 2024-01-01T00:00:00+08:00。");
            Delivery = "E_DELIVERY", Configuration,
                en: ("A flow declares a level of delivery that it cannot hold.", "Name a key that is made of the document alone, or a marker, or declare at_least_once."),
                zh: ("集成方案声明的投递级别无法保证。", "改用仅由单据本身决定的键，或使用标记字段，或声明 at_least_once。");
            BatchRange = "E_BATCH_RANGE", Configuration,
                en: ("The number of documents per call is outside 1 to 500.", "Choose a number inside the range; tens are usual."),
                zh: ("每次调用的单据数超出 1 到 500。", "在范围内取值，通常为几十。");
            Range = "E_RANGE", Configuration,
                en: ("A number of the flow file is outside its range.", "Choose a number inside the range the message names."),
                zh: ("流程文件中的数值超出范围。", "在提示的范围内取值。");
            Api = "E_API", Configuration,
                en: ("A document names no api.", "Add the interface's name, such as executeBillQuery or batchSave."),
                zh: ("文档没有 api。", "补上接口名，例如 executeBillQuery 或 batchSave。");
            IdMissing = "E_ID_MISSING", Configuration,
                en: ("A source document names no id.", "Name the field that is the record's unique key."),
                zh: ("源文档没有 id。", "写明记录唯一键所在的字段。");
            IdColumn = "E_ID_COLUMN", Configuration,
                en: ("The id or number of a source document is none of the columns it asks for.", "Add the column, or name one that is there."),
                zh: ("源文档的 id 或 number 不在所查询的列中。", "补上该列，或改为已有的列。");
            Side = "E_SIDE", Configuration,
                en: ("A document of the writing side stands where one of the reading side belongs, or the reverse.", "Exchange the two documents."),
                zh: ("写入侧文档放在了查询侧，或反之。", "对调两个文档。");
            DocumentShape = "E_DOCUMENT_SHAPE", Configuration,
                en: ("A key of a document has a value of the wrong kind.", "Write a value of the kind the message names."),
                zh: ("文档中某个键的取值类型不对。", "改为提示所要求的类型。");
            EntryField = "E_ENTRY_FIELD", Configuration,
                en: ("A field entry has no field name.", "Add its field."),
                zh: ("字段条目没有字段名。", "补上 field。");
            EntryParent = "E_ENTRY_PARENT", Configuration,
                en: ("The parent of a field entry is no entry of its list.", "Name an object or array entry of the same list."),
                zh: ("字段条目的 parent 不在同一列表中。", "改为同一列表中的 object 或 array 条目。");
            EntryDepth = "E_ENTRY_DEPTH", Configuration,
                en: ("Field entries are nested deeper than 64 levels, or hold themselves.", "Flatten the document."),
                zh: ("字段条目嵌套超过 64 层，或互为上级。", "减少嵌套层数。");
            ParserParams = "E_PARSER_PARAMS", Configuration,
                en: ("A parser lacks the parameter it needs.", "Write the parameter as the message shows."),
                zh: ("解析器缺少所需参数。", "按提示写出参数。");
            FilterName = "E_FILTER_NAME", Configuration,
                en: ("A reference uses a filter that does not exist.", "Use date, datetime, time, timestamp or timestamp_ms."),
                zh: ("引用使用了不存在的过滤器。", "使用 date、datetime、time、timestamp 或 timestamp_ms。");
            Operation = "E_OPERATION", Configuration,
                en: ("The operation of a document is unknown or incomplete.", "Use none, batchArraySave or merge on the target, splitArray on the source."),
                zh: ("文档的 operation 未知或不完整。", "目标侧用 none、batchArraySave 或 merge，源侧用 splitArray。");
            ConditionLogic = "E_CONDITION_LOGIC", Configuration,
                en: ("A condition uses a comparison that does not exist.", "Use one of those the message lists."),
                zh: ("条件使用了不存在的比较方式。", "改用提示中列出的方式。");
            ConditionShape = "E_CONDITION", Configuration,
                en: ("A condition is not a list of lists of comparisons, or a comparison is incomplete.", "Write [[{field, logic, value}]]: outer list or, inner list and."),
                zh: ("条件不是两层列表，或某个比较不完整。", "写成 [[{field, logic, value}]]：外层为或，内层为且。");
            Format = "E_FORMAT", Configuration,
                en: ("formatResponse uses a format that does not exist.", "Use one of those the message lists."),
                zh: ("formatResponse 使用了不存在的格式。", "改用提示中列出的格式。");
            GroupFunction = "E_GROUP_FUNCTION", Configuration,
                en: ("groupCalculate is incomplete or uses a function that does not exist.", "Name headerGroup, and one of $sum $avg $min $max $first $last $push $addToSet per field."),
                zh: ("groupCalculate 不完整或使用了不存在的函数。", "写明 headerGroup，每个字段用 $sum $avg $min $max $first $last $push $addToSet 之一。");
            GroupSpans = "E_GROUP_SPANS", Configuration,
                en: ("Rows that the target gathers into one bill may come from several source documents, which travel one by one.", "Gather by a field that is the source document's number or id."),
                zh: ("目标汇总为一张单据的行可能来自多张源单据，而源单据是逐张传送的。", "按源单据的编号或主键字段汇总。");
            Remedy = "E_REMEDY", Configuration,
                en: ("omissionRemedy is incomplete.", "Name its crontab and the fields it takes over."),
                zh: ("omissionRemedy 不完整。", "写明 crontab 和接管字段。");
            FormMissing = "E_FORM_MISSING", Configuration,
                en: ("Neither the document nor the flow file names the Kingdee form.", "Add FormId to the document, or form to the flow file."),
                zh: ("文档和流程文件都没有写明金蝶表单。", "在文档加 FormId，或在流程文件加 form。");
            TargetField = "E_TARGET_KEY", Configuration,
                en: ("The flow's target key is no field of the target document.", "Name a field that the target document fills."),
                zh: ("流程的目标主键不是目标文档中的字段。", "改为目标文档会赋值的字段。");
            CallOption = "E_CALL_OPTION", Configuration,
                en: ("A parameter of a Kingdee call is not what the call needs.", "Correct the entry of that name."),
                zh: ("金蝶调用参数不符合要求。", "修正该名称的条目。");
            RowId = "E_ROW_ID", Validation,
                en: ("A source row has no id.", "Give the row an id in the source, or name another field as id."),
                zh: ("源数据行没有主键。", "在源系统补齐主键，或改用其他字段作为 id。");
            RowShape = "E_ROW_SHAPE", Validation,
                en: ("A row is not a JSON object, or has not as many values as columns were asked for.", "Give rows as objects, or ask the source again."),
                zh: ("数据行不是 JSON 对象，或列数与查询不符。", "以对象形式提供数据行，或重新查询。");
            FormatValue = "E_FORMAT_VALUE", Mapping,
                en: ("formatResponse was given a value that its format cannot read.", "Correct the source value or the format."),
                zh: ("formatResponse 的格式无法读取该值。", "修正来源值或格式。");
            ParserValue = "E_PARSER_VALUE", Mapping,
                en: ("A parser was given a value that it cannot convert.", "Correct the source value or the parser."),
                zh: ("解析器无法转换给定的值。", "修正来源值或解析器。");
            GroupValue = "E_GROUP_VALUE", Mapping,
                en: ("A sum was asked of a value that is no number.", "Correct the source value."),
                zh: ("求和的值不是数字。", "修正来源值。");
            UnknownKey = "E_UNKNOWN_KEY", Configuration,
                en: ("A document holds a key that has no meaning here; it is kept and has no effect.", "Check its spelling, or leave it."),
                zh: ("文档中有此处无意义的键；予以保留但不起作用。", "检查拼写，或保持不变。");
            UnknownType = "E_UNKNOWN_TYPE", Configuration,
                en: ("A field declares a type that does not exist; its value is not converted.", "Use one of the types the message lists, or leave it."),
                zh: ("字段声明了不存在的类型；取值不做转换。", "改用提示中的类型，或保持不变。");
            Undeclared = "E_UNDECLARED", Configuration,
                en: ("A target field refers to a source field that the source document does not list.", "Check its spelling; the source may still deliver it."),
                zh: ("目标字段引用了源文档未列出的字段。", "检查拼写；源系统仍可能返回该字段。");
            UnknownScheme = "E_UNKNOWN_SCHEME", Configuration,
                en: ("A lookup names a scheme that the flow gives no records of.", "Add its records as a file under [collections] of the flow file, or correct its id."),
                zh: ("查找引用的方案在流程中没有数据。", "在流程文件 [collections] 下添加其数据文件，或修正方案 ID。");
            CollectionFile = "E_COLLECTION_FILE", Configuration,
                en: ("A collection file is not a list of stored records.", "Write [{\"id\": \"1\", \"number\": \"1\", \"content\": {}}] at the place named."),
                zh: ("集合文件不是存储记录的列表。", "在所指位置按 [{\"id\": \"1\", \"number\": \"1\", \"content\": {}}] 书写。");
            FlowTooLarge = "E_FLOW_TOO_LARGE", Configuration,
                en: ("The texts of a flow are too large to be published together.", "Keep only the records and fields in its collection files that lookups need."),
                zh: ("流程的全部文本过大，无法一并发布。", "集合文件中只保留查找所需的记录与字段。");
            RequiredEmpty = "E_REQUIRED_EMPTY", Configuration,
                en: ("A required field has neither a value nor children.", "Give it a value."),
                zh: ("必填字段既无取值也无子字段。", "为其设置取值。");
            CaseFile = "E_CASE_FILE", Configuration,
                en: ("A case file is not in the form of case files.", "Correct the key the message names."),
                zh: ("用例文件不符合格式。", "修正提示的键。");
            CaseFailed = "E_CASE_FAILED", Validation,
                en: ("A case gave other results than it expects.", "Read the difference; correct the document or the case."),
                zh: ("用例结果与预期不符。", "查看差异，修正文档或用例。");
            NoSuchFile = "E_NO_FILE", Configuration,
                en: ("A file that was named cannot be read.", "Check its path and permissions."),
                zh: ("指定的文件无法读取。", "检查路径和权限。");

            // --- Kafka (queue) ---
            KafkaUnreachable = "E_KAFKA_UNREACHABLE", Transport,
                en: ("No Kafka broker answers, or a request to one ran out of time.", "Check the broker addresses, the network and the brokers' health; work goes on by itself once they answer."),
                zh: ("没有 Kafka 代理应答，或请求超时。", "检查代理地址、网络与代理状态；恢复后自动继续。");
            KafkaAuth = "E_KAFKA_AUTH", Permission,
                en: ("Kafka refused the user, the password or the TLS handshake.", "Correct user, password file, mechanism or CA file in the Kafka settings."),
                zh: ("Kafka 拒绝了用户、密码或 TLS 握手。", "修正 Kafka 设置中的用户、密码文件、认证机制或 CA 文件。");
            KafkaForbidden = "E_KAFKA_FORBIDDEN", Permission,
                en: ("The Kafka user may not use a topic, a group or a transactional id.", "Grant the missing right to the service's Kafka user."),
                zh: ("Kafka 用户无权使用某个主题、消费组或事务标识。", "为该服务的 Kafka 用户授予缺少的权限。");
            KafkaSettings = "E_KAFKA_SETTINGS", Configuration,
                en: ("The Kafka settings cannot be used.", "Correct the setting or the file that the message names."),
                zh: ("Kafka 设置无法使用。", "修正提示所指的设置项或文件。");
            Fenced = "E_FENCED", Transport,
                en: ("Another process works under the same member name, or this one was away for too long.", "Give every replica its own member name; after a pause the process recovers by itself."),
                zh: ("另一个进程使用了相同的成员名，或本进程停顿过久。", "为每个副本设置独立的成员名；停顿后进程会自行恢复。");
            NotOwned = "E_NOT_OWNED", Transport,
                en: ("A transaction named a partition that had moved to another replica.", "Nothing to do: the new owner goes on from the saved position."),
                zh: ("事务涉及的分区已转移到其他副本。", "无需处理：新的所有者会从已保存的位置继续。");
            RecordTooLarge = "E_RECORD_TOO_LARGE", Validation,
                en: ("A record is larger than Kafka is set to take.", "Split the document in its source, or raise the size limit of topic, broker and client together."),
                zh: ("记录超过 Kafka 允许的大小。", "在源系统拆分单据，或同时调高主题、代理与客户端的上限。");
            TopicMissing = "E_TOPIC_MISSING", Configuration,
                en: ("A topic that is needed does not exist.", "Publish the flow so that its topics are made, or create the topic by hand."),
                zh: ("所需的主题不存在。", "发布该集成方案以创建主题，或手工创建主题。");
            PartitionsDiffer = "E_PARTITIONS_DIFFER", Configuration,
                en: ("A topic has another number of partitions than its flow is set to.", "Do not add partitions: set the flow to the topic's count, or drain and migrate the flow."),
                zh: ("主题的分区数与集成方案的设置不同。", "不要增加分区：将方案改为主题的分区数，或排空后迁移。");
            DataExpired = "E_DATA_EXPIRED", Transport,
                en: ("Records were deleted by retention before they were read.", "Extract again from a time before the gap, then reset the group's position."),
                zh: ("记录在被读取之前已因保留期限被删除。", "从缺口之前的时间重新抽取，再重置消费位置。");
            TopicRecreated = "E_TOPIC_RECREATED", Configuration,
                en: ("A saved position lies beyond the end of its topic: the topic was deleted and made anew.", "Find out who did it; extract again from the beginning, then reset the group's position."),
                zh: ("已保存的位置超出主题末尾：主题曾被删除并重建。", "查明原因，从头重新抽取，再重置消费位置。");
            BarrierTimeout = "E_BARRIER", Transport,
                en: ("A newly assigned partition did not become readable in time; an undecided transaction holds it back.", "Wait for the transaction to time out; if it repeats, look for a hanging transaction on the broker."),
                zh: ("新分配的分区未能及时可读，被未决事务阻挡。", "等待事务超时；若反复出现，请在代理上查找挂起的事务。");
            Unfenced = "E_UNFENCED", Poison,
                en: ("A transaction named no input partition and could therefore not be fenced.", "This is a defect in the service; report it."),
                zh: ("事务未包含任何输入分区，无法隔离旧的写入者。", "这是服务缺陷，请上报。");
            StateStore = "E_STATE_STORE", Transport,
                en: ("The state store on the local disk cannot be used.", "Check disk space and rights of the data folder; a lost store is read again from Kafka."),
                zh: ("本地磁盘上的状态存储不可用。", "检查数据目录的空间与权限；存储丢失后会从 Kafka 重新读取。");
            SessionEnded = "E_SESSION_ENDED", Transport,
                en: ("A Kafka session was given up and has to be opened anew.", "Nothing to do: the service opens a new one; look at the error before it if it repeats."),
                zh: ("Kafka 会话已放弃，需要重新建立。", "无需处理：服务会重新建立；若反复出现，请查看之前的错误。");
            Kafka = "E_KAFKA", Transport,
                en: ("Kafka refused a request for a reason that has no code of its own.", "Read the broker's words in the message and its log."),
                zh: ("Kafka 因其他原因拒绝了请求。", "查看提示中的原文与代理日志。");
            FlowRecord = "E_FLOW_RECORD", Configuration,
                en: ("An entry of the flows topic does not read as a flow or does not match its key.", "Publish the flow again."),
                zh: ("方案主题中的条目无法解析，或与其键不符。", "重新发布该集成方案。");

            // --- K3Cloud (kingdee) ---
            ReferenceMissing = "E_REFERENCE_MISSING", ReferenceMissing,
                en: ("The target does not know a base-data code the document uses.", "Create or allocate the base data in the target, then replay."),
                zh: ("目标系统不存在单据引用的基础资料编码。", "在目标系统新增或分配该基础资料后重放。");
            NumberTaken = "E_NUMBER_TAKEN", Duplicate,
                en: ("The target already holds another document of this number.", "Decide which of the two is right; rename or delete the other, then replay."),
                zh: ("目标系统已有同编号的其他单据。", "确认保留哪一张，改名或删除另一张后重放。");
            TargetRequired = "E_TARGET_REQUIRED", Validation,
                en: ("The target misses a field that it requires.", "Fill the field in the source document or map it, then replay."),
                zh: ("目标系统的必录字段没有值。", "在源单据补齐该字段或补充映射后重放。");
            TargetValidation = "E_TARGET_VALIDATION", Validation,
                en: ("The target's validation rules refuse the document.", "Correct the value the message names, then replay."),
                zh: ("目标系统校验规则拒绝了单据。", "按提示修正数据后重放。");
            TargetRefused = "E_TARGET_REFUSED", BusinessRule,
                en: ("The target refuses the document for a reason of its own, given in the message.", "Act on the message in the target, then replay."),
                zh: ("目标系统以自身规则拒绝了单据，原因见提示。", "在目标系统按提示处理后重放。");
            StockShort = "E_STOCK_SHORT", BusinessRule,
                en: ("The document would make a stock negative.", "Bring the stock in first, or accept negative stock by the flow's interaction flags."),
                zh: ("单据会造成负库存。", "先补足库存，或在流程中用交互标志允许负库存。");
            PeriodClosed = "E_PERIOD_CLOSED", BusinessRule,
                en: ("The accounting or stock period of the document is closed in the target.", "Reopen the period or correct the date, then replay."),
                zh: ("单据日期所在期间在目标系统已关账。", "反关账或修正日期后重放。");
            TargetPermission = "E_TARGET_PERMISSION", Permission,
                en: ("The integration user lacks a permission in the ERP.", "Grant the permission the message names, then replay."),
                zh: ("集成用户在系统中缺少权限。", "授予提示所列权限后重放。");
            TargetLicence = "E_TARGET_LICENCE", Permission,
                en: ("The ERP has no licence left for this user or module.", "Free or buy a licence; the calls go on by themselves."),
                zh: ("系统没有可用的许可。", "释放或购买许可，之后会自动继续。");
            TargetLocked = "E_TARGET_LOCKED", BusinessRule,
                en: ("Another user or process holds the document or data it needs.", "Wait; it is tried again by itself."),
                zh: ("其他用户或进程正在占用该单据或其数据。", "等待即可，系统会自动重试。");
            TargetState = "E_TARGET_STATE", BusinessRule,
                en: ("The document's state does not allow the operation.", "Bring the document into the needed state in the target, then replay."),
                zh: ("单据当前状态不允许此操作。", "在目标系统调整单据状态后重放。");
            AlreadyAudited = "E_ALREADY_AUDITED", BusinessRule,
                en: ("The document is audited already.", "Nothing when an audit was wanted; to change it, take the audit back first."),
                zh: ("单据已经审核。", "若目的就是审核则无需处理；要修改请先反审核。");
            AlreadySubmitted = "E_ALREADY_SUBMITTED", BusinessRule,
                en: ("The document is submitted already.", "Nothing when a submission was wanted; to change it, cancel the submission first."),
                zh: ("单据已经提交。", "若目的就是提交则无需处理；要修改请先撤销提交。");
            SessionLost = "E_SESSION_LOST", Transport,
                en: ("The ERP ended our session.", "Nothing: a new one is opened by itself."),
                zh: ("系统会话已丢失。", "无需处理，会自动重新登录。");
            AuthFailed = "E_AUTH_FAILED", Permission,
                en: ("The ERP refuses the user, password or application secret.", "Correct the secret's file; logins stop until it changes, because three wrong ones lock the account."),
                zh: ("系统拒绝了用户、密码或应用密钥。", "修正密钥文件；在其改变前不再登录，以免三次错误后账号被锁。");
            UnknownAccount = "E_UNKNOWN_ACCOUNT", Configuration,
                en: ("The ERP does not know the account id.", "Correct acct_id of the connection."),
                zh: ("系统不存在该账套标识。", "修正连接的 acct_id。");
            ErpThrottled = "E_ERP_THROTTLED", Throttled,
                en: ("The ERP refuses calls for now because there were too many.", "Wait; lower calls_per_minute when it happens often."),
                zh: ("调用过多，系统暂时拒绝。", "等待即可；若经常发生请调低 calls_per_minute。");
            ErpUnreachable = "E_ERP_UNREACHABLE", Transport,
                en: ("The ERP could not be reached; nothing was sent.", "Check address, network and certificate."),
                zh: ("无法连接系统，请求没有发出。", "检查地址、网络和证书。");
            ErpName = "E_ERP_NAME", Transport,
                en: ("The name of a connection's server cannot be looked up.", "Correct the host in the connection's url, or add the name to the name service."),
                zh: ("无法解析连接地址中的主机名。", "修正连接 url 中的主机名，或在域名服务中添加该名称。");
            ErpRefused = "E_ERP_REFUSED", Transport,
                en: ("The server of a connection is there, but nothing listens at the port.", "Correct the port in the connection's url; else see whether the ERP's web server runs and a firewall lets us in."),
                zh: ("服务器存在，但该端口没有服务。", "修正连接 url 中的端口；否则检查系统的 Web 服务是否运行、防火墙是否放行。");
            ErpTlsName = "E_ERP_TLS_NAME", Transport,
                en: ("The server's certificate is for another name than the connection's url has.", "Use the name that the certificate carries, or give the server a certificate for this one."),
                zh: ("服务器证书的名称与连接地址中的主机名不符。", "在 url 中使用证书所载名称，或为服务器换发该名称的证书。");
            ErpTlsAuthority = "E_ERP_TLS_AUTHORITY", Transport,
                en: ("The server's certificate is signed by an authority that nobody here trusts.", "Name the authority's certificate in ca_file of the connection, or have the server send its whole chain."),
                zh: ("服务器证书由不受信任的机构签发。", "在连接的 ca_file 中指定该机构证书，或让服务器发送完整证书链。");
            ErpTls = "E_ERP_TLS", Transport,
                en: ("TLS with the server of a connection fails, for a reason given in the message.", "Renew a certificate that has expired; see that the port speaks TLS 1.2 or 1.3 where the url says https."),
                zh: ("与服务器的 TLS 协商失败，原因见提示。", "更换已过期的证书；url 为 https 时确认该端口支持 TLS 1.2 或 1.3。");
            ErpClock = "E_ERP_CLOCK", Transport,
                en: ("The clocks of this machine and of the ERP are too far apart.", "Set both by a time service; windows of time and signatures depend on them."),
                zh: ("本机与系统的时钟相差过大。", "两端均启用时间同步；时间窗口与签名都依赖时钟。");
            AuthUser = "E_AUTH_USER", Permission,
                en: ("The ERP refuses the user of a connection.", "Correct user of the connection, or make it an integration user of the application in the ERP."),
                zh: ("系统拒绝了连接的用户。", "修正连接的 user，或在系统的第三方登录授权中将其设为集成用户。");
            AuthApplication = "E_AUTH_APPLICATION", Permission,
                en: ("The ERP refuses the application id of a connection.", "Correct app_id of the connection; see in the ERP that the application is authorised and enabled."),
                zh: ("系统拒绝了连接的应用 ID。", "修正连接的 app_id，并确认系统中该应用已授权并启用。");
            AuthSecret = "E_AUTH_SECRET", Permission,
                en: ("The ERP refuses the secret or the password of a connection.", "Correct the secret's file; logins stop until it changes, because three wrong ones lock the account."),
                zh: ("系统拒绝了连接的密钥或密码。", "修正密钥文件；在其改变前不再登录，以免三次错误后账号被锁。");
            ErpTimeout = "E_ERP_TIMEOUT", Transport,
                en: ("The ERP did not answer in time.", "Look at the ERP's load; raise the timeout if it is only slow."),
                zh: ("系统没有按时答复。", "检查系统负载；若只是较慢可加大超时。");
            ErpInterrupted = "E_ERP_INTERRUPTED", Transport,
                en: ("The connection to the ERP broke before its reply was complete.", "Look at the ERP and the network between; it is tried again or resolved by itself."),
                zh: ("答复完成前连接中断。", "检查系统与网络；会自动重试或核实结果。");
            ErpStatus = "E_ERP_STATUS", Transport,
                en: ("The ERP answered with an HTTP error.", "Look at the ERP's log; on 404 check the connection's url."),
                zh: ("系统返回了 HTTP 错误状态。", "查看系统日志；404 请检查连接地址。");
            ErpSettings = "E_ERP_SETTINGS", Configuration,
                en: ("A connection's settings cannot be used.", "Correct the setting that is named."),
                zh: ("连接设置无法使用。", "修正所指的设置项。");
            ErpClearText = "E_ERP_CLEAR_TEXT", Configuration,
                en: ("A connection's url is http:// to another machine.", "Use https://, or set allow_http where the network is trusted."),
                zh: ("连接地址以 http:// 指向其他机器。", "改用 https://，或在可信网络中设置 allow_http。");
            ErpNotListed = "E_ERP_NOT_LISTED", Configuration,
                en: ("A connection's url leads to a server that the deployment does not list.", "If the server may be called, add its host:port to hosts in [outbound] of the service's settings."),
                zh: ("连接地址指向部署未列出的服务器。", "若允许调用，请把其 host:port 加入服务配置 [outbound] 的 hosts。");
            ErpAddress = "E_ERP_ADDRESS", Configuration,
                en: ("The server of a connection is at an address that calls must not reach, such as one of this machine, an inner network or a cloud's metadata; nothing was sent.", "Correct url or name service; a server inside is permitted by its network in outbound.networks, link-local and metadata addresses never."),
                zh: ("连接的服务器位于不允许访问的地址（本机、内网或云元数据等），请求没有发出。", "修正连接地址或域名解析；内网服务器须将其网段加入 outbound.networks，链路本地和元数据地址一律不允许。");
            ReplyHtml = "E_REPLY_HTML", Transport,
                en: ("A web page came instead of a reply.", "See whether a proxy or a maintenance page answers at the url."),
                zh: ("返回的是网页而不是接口答复。", "检查该地址上是否有代理或维护页面。");
            ReplyTooLarge = "E_REPLY_TOO_LARGE", Validation,
                en: ("A reply is larger than 32 MiB.", "Lower the page size of the flow."),
                zh: ("答复超过 32 MiB。", "调小流程的分页大小。");
            ReplyTooDeep = "E_REPLY_DEPTH", Validation,
                en: ("A reply is nested deeper than 64 levels.", "See what answers at the url."),
                zh: ("答复嵌套超过 64 层。", "检查该地址上的服务。");
            ReplyUnparsable = "E_REPLY_UNPARSABLE", Transport,
                en: ("A reply is not JSON, or ends too early.", "See whether something on the way cuts replies."),
                zh: ("答复不是完整的 JSON。", "检查链路上是否有设备截断答复。");
            ReplyShape = "E_REPLY_SHAPE", Validation,
                en: ("A reply is JSON of a shape that its method does not answer with.", "See what answers at the url, and the server's version."),
                zh: ("答复的 JSON 结构与接口不符。", "检查该地址上的服务及版本。");
            ReplyArity = "E_REPLY_ARITY", Validation,
                en: ("A row has another number of cells than columns were asked for.", "Check the columns of the source document for commas or functions."),
                zh: ("返回行的列数与请求的字段数不一致。", "检查源文档字段是否含逗号或函数。");
            RequestFiltered = "E_REQUEST_FILTER", Validation,
                en: ("The server's request filter takes the call for an attack.", "Look for < and the like in the values, or have the filter relaxed."),
                zh: ("服务器的请求过滤器认为请求可疑。", "检查数据中的 < 等字符，或放宽过滤规则。");
            UnknownForm = "E_UNKNOWN_FORM", Configuration,
                en: ("The ERP does not know the form.", "Correct the form id of the document or flow file."),
                zh: ("系统不存在该业务对象。", "修正文档或流程文件中的 FormId。");
            SourceSchema = "E_SOURCE_SCHEMA", Configuration,
                en: ("The form has no such field.", "Correct the field in the document, or add it in the ERP; the flow waits until then."),
                zh: ("业务对象没有该字段。", "修正文档中的字段或在系统中补建，流程会一直等待。");
            TargetSchema = "E_TARGET_SCHEMA", Configuration,
                en: ("The form of the target has no such field.", "Correct the field in the target document, or add it in the ERP."),
                zh: ("目标业务对象没有该字段。", "修正目标文档中的字段或在系统中补建。");
            QueryRefused = "E_QUERY_REFUSED", Configuration,
                en: ("The ERP cannot evaluate the query's filter, order or columns.", "Correct the filter of the source document."),
                zh: ("系统无法执行查询条件、排序或字段。", "修正源文档的过滤条件。");

            // --- shared agreements (coordination) ---
            RedisSettings = "E_REDIS_SETTINGS", Configuration,
                en: ("The settings of Redis cannot be used.", "Correct the setting that is named."),
                zh: ("Redis 设置无法使用。", "修正所指的设置项。");
            RedisSecret = "E_REDIS_SECRET", Configuration,
                en: ("The file of the Redis password or of the session key cannot be read or is not what it must be.", "Mount the secret at the path named; a session key is 32 bytes, or 64 hexadecimal digits."),
                zh: ("Redis 密码或会话密钥文件无法读取或内容不符。", "在所示路径挂载文件；会话密钥为 32 字节或 64 位十六进制。");
            QuotaSplit = "E_QUOTA_SPLIT", Configuration,
                en: ("A call limit cannot be split as it is set.", "Set at least 10 calls a minute, at least one replica, and a replica number below max_replicas."),
                zh: ("调用限额的设置无法拆分。", "每分钟至少 10 次，副本数至少为 1，副本序号小于 max_replicas。");

            // --- processes and settings (runtime) ---
            SettingsUnknownKey = "E_SETTINGS_UNKNOWN_KEY", Configuration,
                en: ("A settings file or environment variable sets a key that the service does not have.", "Correct the key; the message lists the keys of its table."),
                zh: ("配置文件或环境变量设置了服务不认识的键。", "按提示列出的可用键修正。");
            SettingsValue = "E_SETTINGS_VALUE", Configuration,
                en: ("A setting has a value that the service cannot use.", "Give a value as the message describes."),
                zh: ("配置项的值无法使用。", "按提示改为可用的值。");
            SettingsMissing = "E_SETTINGS_MISSING", Configuration,
                en: ("A setting without a default is not given.", "Set it in the settings file or by the environment variable named in the message."),
                zh: ("缺少没有默认值的配置项。", "在配置文件或提示中的环境变量里设置它。");
            SettingsFile = "E_SETTINGS_FILE", Configuration,
                en: ("The settings file cannot be read or is not TOML.", "Check path and permissions; correct the line named in the message."),
                zh: ("配置文件无法读取或不是 TOML。", "检查路径和权限，修正提示的行。");
            SettingsSecretFile = "E_SETTINGS_SECRET_FILE", Configuration,
                en: ("A file that holds a secret is missing, empty, or readable by everyone.", "Create the file with the secret in it and take read permission from others (chmod o-rwx)."),
                zh: ("保存密钥的文件不存在、为空或所有人可读。", "创建含密钥的文件并去掉其他用户的读取权限（chmod o-rwx）。");
            Listen = "E_LISTEN", Configuration,
                en: ("The address for health and metrics cannot be listened on.", "Choose a free port and an address of this machine, or stop what holds the port."),
                zh: ("健康检查与指标的监听地址不可用。", "换用本机空闲的地址和端口，或停止占用端口的程序。");
            NotReady = "E_NOT_READY", Transport,
                en: ("A running service does not answer its health check, or answers that it cannot work yet.", "Read the condition named in the answer, and the service's log."),
                zh: ("运行中的服务没有响应健康检查，或表示尚未就绪。", "查看返回的条件说明和服务日志。");
            Telemetry = "E_TELEMETRY", Configuration,
                en: ("Logs or traces cannot be set up as the settings ask.", "Correct the log filter or the address of the trace collector."),
                zh: ("无法按配置启动日志或链路追踪。", "修正日志过滤表达式或追踪收集器地址。");

            // --- extractor ---
            SourcePage = "E_SOURCE_PAGE", Validation,
                en: ("An answer of the source is not the rows that were asked for; nothing of it was used.", "See what the source or a proxy before it answered; the run is repeated from its saved position."),
                zh: ("源系统的应答不是所查询的数据行，未采用其中任何内容。", "检查源系统或其代理的应答；任务会从已保存的位置重试。");
            SourceOrder = "E_SOURCE_ORDER", Validation,
                en: ("The source answered ids that go down or lie outside what was asked for.", "Check that the form's key and line id in the flow file are right and that the source heeds filter and order."),
                zh: ("源系统返回的内码倒序或超出查询范围。", "检查方案文件中的主键与分录主键，以及源系统是否遵守过滤和排序。");
            SourceRepeatedPage = "E_SOURCE_REPEATED_PAGE", Validation,
                en: ("The source answered the same rows twice: it leaves the paging parameters aside.", "Name a key for the form in the flow file, or correct the paging parameters of the source document."),
                zh: ("源系统重复返回相同的行，分页参数未生效。", "在方案文件中指定表单主键，或修正源单据的分页参数。");
            SourceEntryKey = "E_SOURCE_ENTRY_KEY", Configuration,
                en: ("A bill came in several rows, and the flow names no line id to page them by.", "Name the line's id as source.entry_key in the flow file."),
                zh: ("一张单据返回了多行，而方案未指定分录主键。", "在方案文件的 source.entry_key 中指定分录主键。");
            SourceMoving = "E_SOURCE_MOVING", Transport,
                en: ("A bill larger than a page changed every time it was read.", "Wait: the run is repeated. Should it go on, find out who keeps changing the bill."),
                zh: ("一张超过一页的单据在每次读取时都发生变化。", "任务会自动重试；若持续出现，请查明是谁在反复修改该单据。");
            SourceApi = "E_SOURCE_API", Configuration,
                en: ("The source document names an interface that the extractor cannot query.", "Use executeBillQuery for a Kingdee source."),
                zh: ("源单据配置的接口不受抽取服务支持。", "金蝶数据源请使用 executeBillQuery。");
            LookbackKey = "E_LOOKBACK_KEY", Configuration,
                en: ("A lookback needs the form's key, and the flow file says there is none.", "Name source.key in the flow file, or remove the lookback."),
                zh: ("漏单补偿需要表单主键，而方案文件未指定。", "在方案文件中指定 source.key，或去掉漏单补偿。");
            TooLarge = "E_TOO_LARGE", Validation,
                en: ("A bill is larger than a record may be; only its identity and size were kept.", "Split the bill in the source, or raise the record limit here and in Kafka, then run the flow again."),
                zh: ("单据超过记录大小上限，仅保留其标识和大小。", "在源系统拆分该单据，或同时调高本服务与 Kafka 的记录上限后重新运行方案。");
            SourceRetracted = "E_SOURCE_RETRACTED", BusinessRule,
                en: ("A bill that was extracted is no longer in the source: it was un-audited or deleted.", "Decide what becomes of the target document; a newer version of the bill closes this letter."),
                zh: ("已抽取的单据在源系统中不再存在（被反审核或删除）。", "确认目标单据如何处理；该单据出现新版本时此信自动关闭。");
            SourceShrunk = "E_SOURCE_SHRUNK", Permission,
                en: ("Many bills that were extracted are missing in the source at once; a permission may be lost.", "Check the data permissions of the integration user in the source system."),
                zh: ("大量已抽取的单据同时从源系统消失，可能丢失了数据权限。", "检查集成用户在源系统中的数据权限。");
            FlowsFolder = "E_FLOWS_FOLDER", Configuration,
                en: ("The folder of flows, or a file in it, cannot be read.", "Check the path in the settings and the rights of its files."),
                zh: ("无法读取方案目录或其中的文件。", "检查设置中的路径和文件权限。");
            FlowTwice = "E_FLOW_TWICE", Configuration,
                en: ("Two folders hold a flow of the same name; neither is taken.", "Give one of the flows another name."),
                zh: ("两个目录中存在同名方案，均未采用。", "为其中一个方案改名。");
            ConnectionUnknown = "E_CONNECTION_UNKNOWN", Configuration,
                en: ("A flow names a connection that is not in the service's settings.", "Add the connection to the settings, or correct its name in the flow file."),
                zh: ("方案引用的连接未在服务设置中定义。", "在设置中添加该连接，或修正方案文件中的连接名。");
            CheckpointUnreadable = "E_CHECKPOINT_UNREADABLE", Poison,
                en: ("The saved progress of a flow cannot be read; the flow is stopped rather than guessed at.", "See who wrote the entry; restore it or remove it to read again from start_from."),
                zh: ("方案的保存进度无法解析，为避免误判已停止该方案。", "查明写入者，恢复该记录，或删除后从 start_from 重新读取。");
            SeenUnreadable = "E_SEEN_UNREADABLE", Poison,
                en: ("What was kept of a bill cannot be read; the flow is stopped rather than guessed at.", "See who wrote the entry; remove it to have the bill emitted again."),
                zh: ("已抽取单据的记录无法解析，为避免误判已停止该方案。", "查明写入者；删除该记录后单据会再次抽取。");
            CommandUnreadable = "E_COMMAND", Validation,
                en: ("A command to the extractor cannot be read, or names a flow that is not there.", "Send {\"flow\": NAME, \"command\": \"run\"} or \"lookback\", with the flow as key."),
                zh: ("抽取命令无法解析，或其中的方案不存在。", "发送 {\"flow\": 名称, \"command\": \"run\"} 或 \"lookback\"，并以方案名为键。");

            // --- transformer ---
            TargetKeyMissing = "E_TARGET_KEY_MISSING", Mapping,
                en: ("A mapped bill has no value in the flow's target key field.", "Map the key field, or fill the source value it is made of, then replay."),
                zh: ("映射出的单据没有目标键字段的值。", "映射该键字段或补齐来源值后重放。");
            TargetKeyRepeated = "E_TARGET_KEY_REPEATED", Mapping,
                en: ("One source record gives several bills of the same target key.", "Let the key tell the bills apart, or merge their rows, then replay."),
                zh: ("同一来源记录生成了目标键相同的多张单据。", "让目标键能区分单据或合并其分录后重放。");
            MappingPanic = "E_MAPPING_PANIC", Poison,
                en: ("The mapping broke down on this record.", "Report it with the record and the flow version; correct the flow to get around it, then replay."),
                zh: ("映射该记录时程序异常。", "连同记录和流程版本上报；调整流程后重放。");
            MappedTooLarge = "E_MAPPED_TOO_LARGE", Mapping,
                en: ("A mapped bill is larger than a record may be.", "Split the bill in the source, or raise the record limit of topics and services together."),
                zh: ("映射出的单据超出消息大小上限。", "在源系统拆单，或同时提高主题与服务的消息上限。");
            RecordQuarantined = "E_RECORD_QUARANTINED", Poison,
                en: ("The record was in hand each time the process died, three times over.", "Look at the record the letter names; report it, correct the flow, then replay."),
                zh: ("处理该记录时进程连续三次崩溃。", "查看死信所指记录并上报，修正流程后重放。");
            FlowVersionLate = "E_FLOW_VERSION_LATE", Configuration,
                en: ("Records name a flow version that is not published here; their partition waits.", "Publish that version of the flow again; the partition goes on by itself."),
                zh: ("记录引用的流程版本尚未发布，分区暂停等待。", "重新发布该版本，分区会自动继续。");
            NotesFile = "E_NOTES_FILE", Configuration,
                en: ("The notes on records in hand cannot be kept in the data folder.", "Make the folder writable for the service and see that its disk is not full."),
                zh: ("无法在数据目录保存正在处理的记录标记。", "让服务可写该目录，并确认磁盘未满。");
            MappingBreaker = "E_MAPPING_BREAKER", Configuration,
                en: ("Most records of a flow version fail alike, so the flow waits before any letter is written.", "Correct the flow and publish it; a new version or a restart lets the flow go on."),
                zh: ("某流程版本的多数记录以同样方式失败，流程已暂停且未写死信。", "修正并发布流程；新版本或重启后继续。");

            // --- loader ---
            Conflict = "E_CONFLICT", Duplicate,
                en: ("The target holds another content under the document's number, so it was neither applied nor overwritten.", "Compare the two; rename, delete or accept the one in the target, then replay."),
                zh: ("目标系统中该编号的单据内容不同，未写入也未覆盖。", "核对两张单据，改名、删除或认可目标单据后重放。");
            Collision = "E_COLLISION", Duplicate,
                en: ("Two source documents map to one target key.", "Correct the mapping of the target key, or one of the two documents."),
                zh: ("两张源单据映射到同一目标编号。", "修正目标编号的映射，或修正其中一张源单据。");
            InDoubt = "E_IN_DOUBT", InDoubt,
                en: ("Whether the target holds the document could not be proven, so nothing more is sent under its key.", "Look in the target and give a verdict: applied as its id, or absent."),
                zh: ("无法证明目标系统是否已有该单据，因此不再以该编号发送。", "在目标系统核实后给出结论：已写入（附内码）或不存在。");
            DuplicateInTarget = "E_DUPLICATE_IN_TARGET", Duplicate,
                en: ("The target holds several documents under one key.", "Delete all but one in the target, then give a verdict."),
                zh: ("目标系统同一编号存在多张单据。", "在目标系统删除多余单据，然后给出结论。");
            PoisonDocument = "E_POISON", Poison,
                en: ("Every save that carries the document fails as a whole, while saves without it pass.", "Correct the document in the source; keep it for the vendor."),
                zh: ("凡包含该单据的保存调用均整体失败，不含它的则成功。", "在源系统修正该单据，并保留样本提交厂商。");
            ReplyLost = "E_REPLY_LOST", Transport,
                en: ("No save that carries the document is ever answered, while saves without it are; the target does not have it.", "It is tried again by itself; if that fails too, look in the target's log for what the document does to it."),
                zh: ("凡包含该单据的保存调用均收不到应答，不含它的则正常；目标系统中没有该单据。", "系统会自动重试；若仍失败，请在目标系统日志中查明该单据引起的问题。");
            SubmitFailed = "E_SUBMIT_FAILED", BusinessRule,
                en: ("The document is saved in the target but could not be submitted.", "Remove the obstacle named in the message, then replay: only the missing steps are done."),
                zh: ("单据已保存到目标系统，但提交失败。", "按提示排除原因后重放，系统只补做缺少的步骤。");
            AuditFailed = "E_AUDIT_FAILED", BusinessRule,
                en: ("The document is submitted in the target but could not be audited.", "Remove the obstacle named in the message, then replay: only the missing step is done."),
                zh: ("单据已提交到目标系统，但审核失败。", "按提示排除原因后重放，系统只补做审核。");
            ChangedAfterLoad = "E_CHANGED_AFTER_LOAD", BusinessRule,
                en: ("The source document changed after it was loaded, and the flow leaves such changes to a person.", "Change the document in the target by hand, then discard the letter."),
                zh: ("源单据在写入后被修改，该流程要求人工处理。", "在目标系统手工修改后丢弃该死信。");
            AuditedInTarget = "E_AUDITED_IN_TARGET", BusinessRule,
                en: ("The document is to be updated but is submitted or audited in the target.", "Un-audit it in the target, then replay."),
                zh: ("需要更新的单据在目标系统中已提交或已审核。", "在目标系统反审核后重放。");
            KeyNotKept = "E_KEY_NOT_KEPT", Configuration,
                en: ("The target did not keep the key or the marker that a document was sent with, so lost replies cannot be resolved by it.", "Turn off automatic numbering for the form, or name a marker field that keeps the whole text."),
                zh: ("目标系统未保留单据发送时的键或标记，丢失应答时无法据此核实。", "关闭该单据的自动编码，或指定能完整保留文本的标记字段（marker）。");
            Verdict = "E_VERDICT", Validation,
                en: ("A verdict on a document in doubt does not read.", "Write `absent` or `applied as ID`."),
                zh: ("对存疑单据的结论无法识别。", "请写 absent 或 applied as 内码。");
            FlowBreaker = "E_FLOW_BREAKER", BusinessRule,
                en: ("Most documents of a flow fail alike, so the flow waits instead of filling the dead-letter topic.", "Remove the common cause; the flow goes on by itself."),
                zh: ("流程的多数单据以同一原因失败，流程暂停而不写入死信。", "排除共同原因，流程会自动继续。");
            FlowVersionMissing = "E_FLOW_VERSION_MISSING", Configuration,
                en: ("Records wait for a flow version that is not published here.", "Publish the flow version named in the message."),
                zh: ("记录等待尚未发布的流程版本。", "发布提示中的流程版本。");
            LedgerLost = "E_LEDGER_LOST", InDoubt,
                en: ("The ledger does not tell what was loaded before: it is gone while progress was committed, or it began with ledger.verify_first on.", "Nothing to do: what was created before is looked up before it is saved. If nobody meant this, find out who deleted the ledger."),
                zh: ("台账无法说明之前加载过什么：已提交进度而台账丢失，或台账在 ledger.verify_first 打开时新建。", "无需操作：此前创建的单据先查后存。若非有意为之，请查明台账被谁删除。");
            LedgerUnreadable = "E_LEDGER_UNREADABLE", InDoubt,
                en: ("A ledger entry cannot be read by this build.", "Do not go back to an older build; the documents concerned are looked up before they are saved."),
                zh: ("当前版本无法读取台账条目。", "不要回退到旧版本；相关单据将先查后存。");
            LoaderSettings = "E_LOADER_SETTINGS", Configuration,
                en: ("A number of the loader's settings contradicts another.", "Correct the setting named in the message."),
                zh: ("加载服务的某项设置与其他设置矛盾。", "修正提示中的设置。");

            // --- order files, demo, checkers (tests, simulator) ---
            OrdersFile = "E_ORDERS_FILE", Validation,
                en: ("An order file, or a list beside it, cannot be read.", "Check the path and the rights of the file."),
                zh: ("订单文件或其附带的清单文件无法读取。", "检查文件路径和访问权限。");
            OrdersColumn = "E_ORDERS_COLUMN", Validation,
                en: ("A column of the order file is missing, is there twice, or a row has another number of columns.", "Correct the header or the row that the message names."),
                zh: ("订单文件缺少列、列重复，或某行列数不符。", "修正提示所指的表头或数据行。");
            OrdersNumber = "E_ORDERS_NUMBER", Validation,
                en: ("A quantity, amount, discount or line number of the order file is not a number.", "Write it as a plain decimal such as 12.5."),
                zh: ("订单文件中的数量、金额、折扣或行号不是数字。", "改为普通小数写法，例如 12.5。");
            OrdersDate = "E_ORDERS_DATE", Validation,
                en: ("A date of the order file is not a date.", "Write it as yyyy-MM-dd."),
                zh: ("订单文件中的日期无效。", "改为 yyyy-MM-dd 格式。");
            OrdersEncoding = "E_ORDERS_ENCODING", Validation,
                en: ("The order file is not UTF-8.", "Save the file as UTF-8; the message names the first wrong place."),
                zh: ("订单文件不是 UTF-8 编码。", "另存为 UTF-8，提示给出第一处错误位置。");
            OrdersEmpty = "E_ORDERS_EMPTY", Validation,
                en: ("The order file has no orders, or a row lacks a value it must have.", "Fill the column that the message names."),
                zh: ("订单文件没有订单，或某行缺少必填值。", "补齐提示所指的列。");
            OrdersDuplicateLine = "E_ORDERS_DUPLICATE_LINE", Validation,
                en: ("The order file has the same line of the same order twice.", "Remove or renumber one of the two rows."),
                zh: ("订单文件中同一订单的同一行重复出现。", "删除其中一行或重新编号。");
        }
    };
}
