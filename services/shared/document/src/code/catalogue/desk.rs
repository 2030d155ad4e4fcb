//! What can happen at the operator's desk: in the control plane and at the command line.

/// Makes the catalogue of the entries it is given, and these.
macro_rules! with_desk {
    ($($before:tt)*) => {
        codes! {
            $($before)*
            // --- control plane (control: letters, jobs, requests) ---
            LetterUnknown = "E_LETTER_UNKNOWN", Validation,
                en: ("There is no dead letter of this id.", "List the letters; an id may be shortened to its first 8 characters when no other begins so."),
                zh: ("没有该编号的死信。", "先列出死信；编号可缩写为前 8 位，但不得与其他编号重复。");
            LetterState = "E_LETTER_STATE", Validation,
                en: ("A dead letter is in a state in which this cannot be done to it.", "See its state and who put it there; parked letters are reopened first."),
                zh: ("死信当前状态不允许该操作。", "查看其状态及操作人；已搁置的死信需先重新打开。");
            LetterInDoubt = "E_LETTER_IN_DOUBT", InDoubt,
                en: ("Nobody knows yet whether the target has the document, so it is not replayed.", "Look into the target and settle it with doubt resolve."),
                zh: ("尚不清楚目标系统是否已有该单据，因此不重放。", "在目标系统核实后，用 doubt resolve 作出结论。");
            ReplayImpossible = "E_REPLAY_IMPOSSIBLE", Validation,
                en: ("A dead letter holds no record that could be published again.", "Fetch the document again from its source: a lookback finds it."),
                zh: ("死信中没有可再次发布的记录。", "从源系统重新抽取该单据，回看扫描会找到它。");
            ReplayUnknown = "E_REPLAY_UNKNOWN", Validation,
                en: ("There is no replay job of this id.", "List the jobs."),
                zh: ("没有该编号的重放任务。", "先列出重放任务。");
            ReconciliationUnknown = "E_RECONCILIATION_UNKNOWN", Validation,
                en: ("There is no reconciliation of this id.", "List them; of a flow the last hundred are kept."),
                zh: ("没有该编号的对账报告。", "先列出对账报告；每个集成方案保留最近一百份。");
            BackfillUnknown = "E_BACKFILL_UNKNOWN", Validation,
                en: ("There is no backfill of this id.", "List them; of a flow the last hundred are kept."),
                zh: ("没有该编号的补录任务。", "先列出补录任务；每个集成方案保留最近一百个。");
            BackfillState = "E_BACKFILL_STATE", Validation,
                en: ("A backfill is over, so it can neither rest nor go on.", "Start another one from where it ended."),
                zh: ("补录任务已结束，不能暂停或继续。", "从其结束处新建补录任务。");
            CanaryState = "E_CANARY_STATE", Validation,
                en: ("A flow has no version that is tried, or has one already.", "Look at the flow; promote or abort what is tried before another version is applied."),
                zh: ("该集成方案没有正在试行的版本，或已有一个。", "查看该方案；先将试行版本转正或中止，再发布其他版本。");
            CanaryVersion = "E_CANARY_VERSION", Validation,
                en: ("A version cannot be tried beside the current one, since it reads other bills or moves keys.", "Apply it as a whole; only what is made of a bill can be tried with some documents."),
                zh: ("该版本读取的单据不同或改变了键值，不能与当前版本并行试行。", "请整体发布；只有对单据的加工方式可以按部分单据试行。");
            ReplayState = "E_REPLAY_STATE", Validation,
                en: ("A replay job is in a state in which this cannot be done to it.", "See its status; a job that is over is not begun again, start another one."),
                zh: ("重放任务当前状态不允许该操作。", "查看其状态；已结束的任务不能再次启动，请新建任务。");
            ApprovalOwn = "E_APPROVAL_OWN", Permission,
                en: ("Somebody approves a replay that is their own plan.", "Ask another person who may approve replays."),
                zh: ("不能批准自己提出的重放计划。", "请另一位有批准权限的人批准。");
            PlanChanged = "E_PLAN_CHANGED", Validation,
                en: ("A replay is not the plan that was seen: it is another one, or a letter was edited since.", "Look at the plan again and approve what it is now; an edited letter needs a new plan."),
                zh: ("重放计划与所查看的不同：计划有别，或其中死信已被编辑。", "重新查看后批准当前计划；死信被编辑后需重新计划。");
            SelectionTooLarge = "E_SELECTION_TOO_LARGE", Validation,
                en: ("A request would touch more dead letters than it, or the server, allows.", "Narrow the selector, or raise the bound that the message names."),
                zh: ("请求涉及的死信数量超出上限。", "缩小选择范围，或提高提示所指的上限。");
            RequestInvalid = "E_REQUEST", Validation,
                en: ("A field of a request is missing or has a value it cannot have.", "Correct the field that the message names."),
                zh: ("请求字段缺失或取值无效。", "修正提示所指的字段。");
            IdempotencyReused = "E_IDEMPOTENCY_REUSED", Validation,
                en: ("An idempotency key was used before for another request.", "Use a new key for a new request; the old one answers only the old request."),
                zh: ("该幂等键已用于另一个请求。", "新请求使用新的幂等键。");
            NotActive = "E_NOT_ACTIVE", Transport,
                en: ("This replica of the control plane does not write at present.", "Ask the replica that does; starctl finds it by itself. Without any, wait half a minute for one to take over."),
                zh: ("该控制面副本当前不负责写入。", "改向负责写入的副本请求，starctl 会自动查找；若暂无，请等待约半分钟完成接管。");
            AuditUnavailable = "E_AUDIT_UNAVAILABLE", Transport,
                en: ("The audit topic cannot be written, so nothing was done.", "See whether the brokers answer; the request may be sent again with the same idempotency key."),
                zh: ("审计主题无法写入，因此未执行任何操作。", "检查 Kafka 是否可用；可用同一幂等键重新提交请求。");
            EditRevision = "E_EDIT_REVISION", Validation,
                en: ("A dead letter was edited since the caller looked at it.", "Look at it again and repeat the edit on what is there now."),
                zh: ("查看之后死信已被他人编辑。", "重新查看后在最新内容上再次编辑。");
            EditPatch = "E_EDIT_PATCH", Validation,
                en: ("A patch cannot be applied to the payload, or leaves something that is no document.", "Correct the operation that the message names; the payload is as it was."),
                zh: ("补丁无法应用于内容，或应用后不是有效单据。", "修正提示所指的操作，原内容未变。");
            ExportFile = "E_EXPORT_FILE", Validation,
                en: ("A file of dead letters does not read, was changed, or does not say what is known of its letters now.", "Take the file as it was exported; to record what was changed in it as edits, import it with --as-edit."),
                zh: ("死信文件无法读取、被改动，或与死信现状不符。", "使用导出时的原文件；要把改动记为编辑，请用 --as-edit 导入。");
            FlowUnknown = "E_FLOW_UNKNOWN", Validation,
                en: ("No flow of this name, or no such version of it, is published.", "List the flows and their versions."),
                zh: ("没有发布该流程或该版本。", "先列出流程及其版本。");
            FieldUnknown = "E_FIELD_UNKNOWN", Validation,
                en: ("A flow has no such field on either side.", "List all of them with lineage flow."),
                zh: ("该流程的两侧都没有此字段。", "用 lineage flow 列出全部字段。");
            FlowBusy = "E_FLOW_BUSY", Validation,
                en: ("A flow is to be deleted while documents of it are on their way, or dead letters of it are open.", "Pause it, let what is on its way arrive and settle its letters; or delete it by force, and they stay where they are."),
                zh: ("要删除的流程仍有在途单据或未处理的死信。", "先暂停流程，待在途单据到达并处理完死信；或强制删除，它们将原样保留。");
            KeyMoves = "E_KEY_MOVES", Validation,
                en: ("A version of a flow would look for documents under other keys in the target while documents are on their way.", "Pause the flow, let what is on its way arrive, settle what is in doubt, and publish the version then."),
                zh: ("新版本会改变在目标系统中查找单据的键，而仍有单据在途。", "先暂停流程，待在途单据全部到达并处理完存疑单据后再发布。");
            ControlSettings = "E_CONTROL_SETTINGS", Configuration,
                en: ("A setting of the control plane contradicts another, or a file it names cannot be used.", "Correct the setting named in the message."),
                zh: ("控制面的某项设置互相矛盾，或其指定的文件不可用。", "修正提示中的设置。");

            // --- control: who may do what ---
            TokenMissing = "E_TOKEN_MISSING", Permission,
                en: ("A call came without a token and without a client certificate.", "Sign in: ask a security administrator for a token and name its file to starctl."),
                zh: ("调用未携带令牌，也没有客户端证书。", "请先登录：向安全管理员申请令牌，并在 starctl 中指定其文件。");
            TokenInvalid = "E_TOKEN_INVALID", Permission,
                en: ("A token is not one that this installation gave out and still trusts.", "Ask for a new token; the message says what is wrong with this one."),
                zh: ("令牌不是本系统签发，或签名密钥已不受信任。", "重新申请令牌；提示说明了具体原因。");
            TokenExpired = "E_TOKEN_EXPIRED", Permission,
                en: ("A token has expired.", "Ask for a new one; a token holds at most 12 hours."),
                zh: ("令牌已过期。", "重新申请令牌，令牌最长有效 12 小时。");
            TokenRevoked = "E_TOKEN_REVOKED", Permission,
                en: ("A token was taken back before its end.", "Ask a security administrator why; the audit topic names who did it."),
                zh: ("令牌已被提前撤销。", "向安全管理员了解原因，审计主题记录了操作人。");
            RevocationsStale = "E_REVOCATIONS_STALE", Transport,
                en: ("A replica has not heard of revoked tokens for too long and therefore refuses every token.", "Check its connection to Kafka; it accepts tokens again by itself."),
                zh: ("该副本过久未获知令牌撤销信息，因此拒绝所有令牌。", "检查其与 Kafka 的连接，恢复后会自动接受令牌。");
            TokenRequest = "E_TOKEN_REQUEST", Validation,
                en: ("A token was asked for a name or a lifetime that a token cannot have.", "Name a principal without blanks and a lifetime of at most 12 hours."),
                zh: ("申请令牌的名称或有效期不符合要求。", "名称不含空白，有效期不超过 12 小时。");
            SigningKey = "E_SIGNING_KEY", Configuration,
                en: ("The file of a key that signs tokens does not hold such a key.", "Mount an Ed25519 private key as PKCS#8 PEM."),
                zh: ("令牌签名密钥文件内容不是有效密钥。", "挂载 PKCS#8 PEM 格式的 Ed25519 私钥。");
            AccessDenied = "E_ACCESS_DENIED", Permission,
                en: ("The caller has no role that allows this here.", "Ask a security administrator for a role that the message names, in the scope it names."),
                zh: ("调用者没有允许此操作的角色。", "向安全管理员申请提示所列角色及范围。");
            AccessWord = "E_ACCESS_WORD", Validation,
                en: ("A role, verb, object or scope is named that does not exist.", "Use one of those the message lists."),
                zh: ("指定的角色、动作、对象或范围不存在。", "改用提示中列出的取值。");
            Binding = "E_BINDING", Validation,
                en: ("A role cannot be given to this principal.", "Give it to somebody else: nobody gives roles to themselves, and administrators and auditors are kept apart."),
                zh: ("不能将该角色授予此主体。", "改授他人：不得给自己授权，系统管理员、安全管理员与审计员须分离。");

            // --- control plane (control: selector, index) ---
            SelectorSyntax = "E_SELECTOR", Validation,
                en: ("A selector of dead letters cannot be read.", "Correct it at the column named; write conditions such as flow = orders and age > 10m."),
                zh: ("死信选择条件无法解析。", "按提示的列修正，条件写法如 flow = orders and age > 10m。");
            SelectorField = "E_SELECTOR_FIELD", Validation,
                en: ("A selector names a field that dead letters do not have.", "Name a field of the letter, such as flow, state or code; what stands in the document itself is payload.PATH."),
                zh: ("选择条件引用了死信没有的字段。", "改用死信的字段，如 flow、state、code；单据内容请用 payload.路径。");
            SelectorValue = "E_SELECTOR_VALUE", Validation,
                en: ("A selector compares a field with a value, or by an operator, that it cannot have.", "Give a value of the kind the message describes."),
                zh: ("选择条件中的值或运算符不适用于该字段。", "按提示改用该字段可用的值或运算符。");
            SelectorLimit = "E_SELECTOR_LIMIT", Validation,
                en: ("A selector is longer, deeper or richer in conditions, list values or pattern states than it may be.", "Simplify it, or split the work into several selectors."),
                zh: ("选择条件的长度、层数、条件数、列表或正则超出上限。", "简化条件，或拆分为多个选择条件。");
            PageToken = "E_PAGE_TOKEN", Validation,
                en: ("A page token does not read, or belongs to another selector or order.", "Begin again without a token, and keep selector and order while paging."),
                zh: ("分页标记无法解析，或属于另一选择条件或排序。", "去掉标记重新查询，翻页期间保持条件和排序不变。");
            Index = "E_INDEX", Transport,
                en: ("The index of dead letters cannot be read or written.", "See that its folder is writable and its disk not full; a deleted index is rebuilt from Kafka."),
                zh: ("死信索引无法读写。", "确认其目录可写且磁盘未满；删除后索引会从 Kafka 重建。");
            LockedOut = "E_LOCKED_OUT", Throttled,
                en: ("Too many attempts to sign in failed from there.", "Wait until the instant the message names, then try once with the right credential."),
                zh: ("该来源登录失败次数过多。", "等到提示的时间，再用正确的凭据尝试一次。");
            Bootstrap = "E_BOOTSTRAP", Permission,
                en: ("The credential for the first administrator does not serve.", "Use the one that was shown, once and in time; otherwise have a new one made on the server."),
                zh: ("首个管理员的引导凭据无效。", "在有效期内使用一次所显示的凭据，否则在服务器上重新生成。");
            KeyFile = "E_KEY_FILE", Configuration,
                en: ("The file of a symmetric key does not hold one.", "Mount a file of 64 hexadecimal digits, as `openssl rand -hex 32` writes it."),
                zh: ("对称密钥文件内容不是有效密钥。", "挂载含 64 位十六进制字符的文件，可用 openssl rand -hex 32 生成。");
            MasterKey = "E_MASTER_KEY", Configuration,
                en: ("A master key is missing, has a version that is taken, or is still in use.", "Rotate in order: add the key everywhere, seal with it, rewrap every secret, then retire the old one."),
                zh: ("主密钥缺失、版本号已被占用或仍在使用。", "按顺序轮换：各副本添加新密钥，启用，重新包裹全部密文，再停用旧密钥。");
            SealedSecret = "E_SEALED_SECRET", Validation,
                en: ("A sealed secret does not open: it was changed, belongs elsewhere, or its master key is another one.", "Mount the master key of its version; otherwise write the secret again."),
                zh: ("密文无法解开：被改动、不属于此处或主密钥不符。", "挂载对应版本的主密钥，否则重新写入该密钥。");
            AuditTampered = "E_AUDIT_TAMPERED", Validation,
                en: ("The audit topic is not as it was written.", "Keep the topic and the signed heads as they are and find out who could write to it; entries before the place named are proven."),
                zh: ("审计主题与写入时不一致。", "保留主题与签名头部原样，查明何人可写；提示位置之前的条目可信。");
            MaskRule = "E_MASK_RULE", Configuration,
                en: ("A rule for masking fields names no field.", "Write a name such as FMobile or a path such as FContact.FName."),
                zh: ("字段脱敏规则未指明字段。", "写字段名如 FMobile，或路径如 FContact.FName。");

            // --- command line (starctl) ---
            CliUsage = "E_CLI_USAGE", Validation,
                en: ("A command cannot be carried out as it was typed.", "Correct it as the message says; --help lists what there is."),
                zh: ("命令无法按所输入的方式执行。", "按提示修正；--help 列出全部用法。");
            CliConfirm = "E_CLI_CONFIRM", Validation,
                en: ("A change was not confirmed, so nothing was done.", "Look at it with --dry-run; confirm it on a terminal, or by --yes."),
                zh: ("变更未经确认，未做任何操作。", "先用 --dry-run 查看，再在终端确认或加 --yes。");
            CliContext = "E_CLI_CONTEXT", Configuration,
                en: ("The context names no control plane that can be spoken to.", "See starctl context list and starctl context view; correct it with starctl context set."),
                zh: ("上下文没有指向可用的控制面。", "用 starctl context list 和 starctl context view 查看，用 starctl context set 修正。");
            CliPrivateFile = "E_CLI_PRIVATE_FILE", Configuration,
                en: ("A file with contexts, a token or a key can be read by others, or cannot be read or written.", "Make it yours alone: chmod 600."),
                zh: ("保存上下文、令牌或密钥的文件可被他人读取，或无法读写。", "改为仅本人可读写：chmod 600。");
            NotSignedIn = "E_NOT_SIGNED_IN", Permission,
                en: ("There is no token or client certificate to sign in with.", "Sign in with starctl auth login, or name --token-file or --client-cert."),
                zh: ("没有可用于登录的令牌或客户端证书。", "用 starctl auth login 登录，或指定 --token-file 或 --client-cert。");
            ControlUnreachable = "E_CONTROL_UNREACHABLE", Transport,
                en: ("The control plane cannot be reached, so nothing was sent.", "Run starctl doctor; it names the step that fails."),
                zh: ("无法连接控制面，未发送任何请求。", "运行 starctl doctor 查看在哪一步失败。");
            OutcomeUnknown = "E_OUTCOME_UNKNOWN", Transport,
                en: ("The answer to a change got lost: it may or may not have happened.", "Send it again with the same idempotency key: it is done once, and the first answer comes back."),
                zh: ("变更的应答丢失：可能已执行，也可能未执行。", "用相同的幂等键重发：只会执行一次，并返回首次结果。");
        }
    };
}
