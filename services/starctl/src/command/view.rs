//! What is shown of each kind of thing.

mod flows;

use crate::output::view::{Column, Kind, View};
pub(crate) use flows::*;

const STATE: Kind = Kind::Word("DEAD_LETTER_STATE_");
/// A word of the interface that stands alone.
const WORD: Kind = Kind::Word("");
const STATUS: Kind = Kind::Word("REPLAY_STATUS_");

pub(super) const fn column(key: &'static str, english: &'static str, chinese: &'static str) -> Column {
    Column::new(key, english, chinese)
}

pub(super) const fn time(key: &'static str, english: &'static str, chinese: &'static str) -> Column {
    Column::new(key, english, chinese).as_kind(Kind::Time)
}

pub(super) const fn flag(key: &'static str, english: &'static str, chinese: &'static str) -> Column {
    Column::new(key, english, chinese).as_kind(Kind::Flag)
}

pub(crate) const LETTER: View = View {
    kind: "DeadLetter",
    noun: "dead_letter",
    name: "id",
    columns: &[
        column("id", "id", "编号"),
        column("flow", "flow", "流程"),
        column("stage", "stage", "阶段"),
        column("category", "category", "类别").as_kind(WORD),
        column("code", "code", "代码"),
        column("state", "state", "状态").as_kind(STATE),
        column("document_key", "document", "单据"),
        column("attempts", "attempts", "次数"),
        time("last_failed_at", "last failed", "最近失败"),
        flag("safety.replayable", "can be replayed", "可重放").if_wide(),
        flag("safety.safe", "safe to replay", "可安全重放").if_wide(),
        column("safety.why", "why", "说明").if_wide(),
        column("message", "message", "消息").if_wide(),
        column("field", "field", "字段").if_wide(),
        column("target_key", "target key", "目标键").if_wide(),
        column("version", "version", "版本").if_wide(),
        column("tenant", "tenant", "租户").if_wide(),
        column("flow_version", "flow version", "流程版本").if_wide(),
        time("first_failed_at", "first failed", "首次失败").if_wide(),
        time("retry_at", "retry at", "重试时间").if_wide(),
        column("replay_job", "replay", "重放任务").if_wide(),
        column("state_reason", "reason", "原因").if_wide(),
        column("state_by", "by", "操作人").if_wide(),
        column("claimed_by", "claimed by", "认领人").if_wide(),
        column("edit_revision", "edit", "修订").if_wide(),
        column("origin", "origin", "来源位置").if_wide(),
        column("trace_id", "trace", "追踪").if_wide(),
    ],
};

pub(crate) const CHANGE: View = View {
    kind: "DeadLetterEvent",
    noun: "dead_letter",
    name: "dead_letter.id",
    columns: &[
        time("at", "at", "时间"),
        column("change", "change", "变化").as_kind(Kind::Word("DEAD_LETTER_CHANGE_")),
        column("dead_letter.id", "id", "编号"),
        column("dead_letter.flow", "flow", "流程"),
        column("dead_letter.document_key", "document", "单据"),
        column("dead_letter.code", "code", "代码"),
        column("dead_letter.state", "state", "状态").as_kind(STATE),
        column("dead_letter.state_by", "by", "操作人"),
        column("dead_letter.claimed_by", "claimed by", "认领人").if_wide(),
        column("dead_letter.state_reason", "reason", "原因").if_wide(),
        column("dead_letter.replay_job", "replay", "重放任务").if_wide(),
        column("position", "position", "位置").if_wide(),
    ],
};

pub(crate) const EXPORT: View = View {
    kind: "Export",
    noun: "export",
    name: "export",
    columns: &[
        column("export", "export", "导出"),
        column("count", "letters", "条数"),
        column("digest", "digest", "摘要"),
        flag("sealed", "sealed", "已加密"),
        column("selector", "selector", "选择条件"),
    ],
};

/// A letter with its payload, which only programs get in one piece.
pub(crate) const LETTER_DETAIL: View = View {
    kind: "DeadLetterDetail",
    noun: "dead_letter",
    name: "dead_letter.id",
    columns: &[
        column("dead_letter.id", "id", "编号"),
        column("dead_letter.code", "code", "代码"),
        column("cause", "cause", "原因"),
        column("way_out", "way out", "处理办法"),
        column("payload.data", "payload", "内容"),
    ],
};

pub(crate) const EARLIER: View = View {
    kind: "FailedAttempt",
    noun: "failure",
    name: "attempt",
    columns: &[
        column("attempt", "attempt", "第几次"),
        column("failed_at", "failed", "失败于"),
        column("code", "code", "代码"),
        column("message", "message", "消息"),
        column("replay_job", "replay", "重放任务"),
    ],
};

pub(crate) const COUNT: View = View {
    kind: "DeadLetterCount",
    noun: "count",
    name: "value",
    columns: &[column("by", "by", "维度"), column("value", "value", "值"), column("count", "letters", "数量")],
};

pub(crate) const SELECTOR: View = View {
    kind: "SelectorExplanation",
    noun: "selector",
    name: "selector",
    columns: &[
        column("selector", "selector", "选择条件"),
        column("words", "in words", "含义"),
        flag("reads_payloads", "reads payloads", "读取内容"),
    ],
};

pub(crate) const OUTCOME: View = View {
    kind: "Outcome",
    noun: "outcome",
    name: "changed",
    columns: &[column("changed", "letters changed", "已变更"), column("first_ids", "the first of them", "前若干条")],
};

pub(crate) const REFUSAL: View = View {
    kind: "Refusal",
    noun: "dead_letter",
    name: "id",
    columns: &[column("id", "left alone", "未处理"), column("code", "code", "代码"), column("why", "why", "说明")],
};

pub(crate) const PLAN: View = View {
    kind: "ReplayPlan",
    noun: "plan",
    name: "letters",
    columns: &[
        column("letters", "letters to publish", "将发布"),
        column("seconds", "seconds it takes", "预计秒数"),
        column("already_in_target", "already in the target", "目标已存在"),
        column("target.found", "found in the target", "目标中查到"),
        column("target.asked", "asked there", "已查询"),
        column("target.not_asked", "not asked there", "未查询"),
        column("target.why", "why not", "未查询原因"),
        column("target.first_found", "the first found", "查到的前若干条"),
        column("overtaken", "overtaken by newer versions", "已有更新版本"),
        column("refused_total", "left alone", "将跳过"),
        flag("needs_approval", "needs approval", "需要批准"),
        column("first_ids", "the first of them", "前若干条"),
    ],
};

pub(crate) const REPLAY: View = View {
    kind: "Replay",
    noun: "replay",
    name: "id",
    columns: &[
        column("id", "id", "编号"),
        column("status", "status", "状态").as_kind(STATUS),
        column("total", "letters", "总数"),
        column("published", "published", "已发布"),
        column("resolved", "resolved", "已解决"),
        column("superseded", "superseded", "已被取代"),
        column("failed", "failed", "失败"),
        column("skipped", "skipped", "跳过"),
        time("created_at", "started", "开始时间"),
        column("created_by", "by", "发起人"),
        time("ended_at", "ended", "结束时间").if_wide(),
        column("selector", "selector", "选择条件").if_wide(),
        column("reason", "reason", "原因").if_wide(),
        column("note", "note", "备注").if_wide(),
        column("options.rate", "rate", "速率").if_wide(),
        column("options.flow_version", "flow version", "流程版本").if_wide(),
        flag("timed", "by itself", "自动").if_wide(),
        column("plan_digest", "plan", "计划摘要").if_wide(),
        time("approve_until", "approve until", "批准期限").if_wide(),
        column("approved_by", "approved by", "批准人").if_wide(),
    ],
};

pub(crate) const REPLAY_ITEM: View = View {
    kind: "ReplayItem",
    noun: "dead_letter",
    name: "dead_letter_id",
    columns: &[
        column("dead_letter_id", "letter", "死信"),
        column("outcome", "outcome", "结果").as_kind(WORD),
        column("why", "why", "说明"),
    ],
};

pub(crate) const DOUBT_RESOLVED: View = View {
    kind: "ResolvedDoubt",
    noun: "dead_letter",
    name: "dead_letter.id",
    columns: &[
        column("dead_letter.id", "letter", "死信"),
        column("dead_letter.state", "state", "状态").as_kind(STATE),
        column("replay_job", "job", "任务"),
    ],
};

/// A document in doubt, and where it would be.
pub(crate) const DOUBT: View = View {
    kind: "Doubt",
    noun: "dead_letter",
    name: "dead_letter.id",
    columns: &[
        column("dead_letter.id", "id", "编号"),
        column("dead_letter.flow", "flow", "流程"),
        column("dead_letter.document_key", "document", "单据"),
        column("dead_letter.version", "version", "版本"),
        time("since", "in doubt since", "存疑自"),
        column("place.connection", "connection", "连接"),
        column("place.form", "form", "业务对象"),
        column("place.field", "field", "字段"),
        column("place.key", "key", "键"),
        column("version_in_target", "version in the target", "目标中的版本"),
        column("dead_letter.message", "message", "消息"),
    ],
};

pub(crate) const DOUBT_CHECK: View = View {
    kind: "DoubtCheck",
    noun: "dead_letter",
    name: "dead_letter.id",
    columns: &[
        column("dead_letter.id", "id", "编号"),
        column("place.connection", "connection", "连接"),
        column("place.form", "form", "业务对象"),
        column("place.field", "field", "字段"),
        column("place.key", "key", "键"),
        column("finding", "finding", "结论").as_kind(Kind::Word("DOUBT_FINDING_")),
        column("compared", "values compared", "比较的值"),
    ],
};

pub(crate) const FOUND: View = View {
    kind: "FoundDocument",
    noun: "document",
    name: "id",
    columns: &[
        column("id", "id in the target", "目标内码"),
        column("key", "key", "键"),
        column("status", "status", "单据状态"),
        column("created", "created", "创建时间"),
    ],
};

pub(crate) const DIFFERENCE: View = View {
    kind: "Difference",
    noun: "value",
    name: "at",
    columns: &[
        column("at", "differs at", "差异位置"),
        column("ours", "ours", "我方"),
        column("theirs", "theirs", "目标"),
    ],
};

pub(crate) const SYSTEM_CALL: View = View {
    kind: "SystemCall",
    noun: "call",
    name: "method",
    columns: &[
        column("method", "call", "调用"),
        column("form", "form", "业务对象"),
        column("asked", "asked", "查询内容"),
        column("answered", "answered", "答复"),
        column("took_ms", "ms", "毫秒"),
    ],
};

pub(crate) const TRACE: View = View {
    kind: "RecordTrace",
    noun: "record",
    name: "document_key",
    columns: &[
        column("document_key", "document", "单据"),
        column("target_key", "target key", "目标键"),
        column("end", "end", "结局"),
        column("target_id", "target id", "目标编号"),
        column("flow", "flow", "流程"),
    ],
};

pub(crate) const TRACE_STEP: View = View {
    kind: "TraceStep",
    noun: "step",
    name: "place",
    columns: &[
        time("at", "at", "时间"),
        column("kind", "step", "步骤"),
        column("version", "version", "版本"),
        column("what", "what", "内容"),
        column("place", "place", "位置"),
        column("flow_version", "flow version", "流程版本").if_wide(),
        column("replay_job", "replay", "重放任务").if_wide(),
        column("batch", "batch", "批次").if_wide(),
        column("trace_id", "trace", "追踪").if_wide(),
    ],
};

const STEP_OUTCOME: Kind = Kind::Word("STEP_OUTCOME_");

pub(crate) const CONNECTION: View = View {
    kind: "Connection",
    noun: "connection",
    name: "name",
    columns: &[
        column("name", "name", "名称"),
        column("url", "url", "地址"),
        column("account_id", "account", "账套"),
        column("user", "user", "用户"),
        column("calls_per_minute", "calls a minute", "每分钟调用"),
        column("read_by", "read by", "读取流程"),
        column("written_by", "written by", "写入流程"),
        column("login", "login", "登录方式").if_wide(),
        column("app_id", "application", "应用 ID").if_wide(),
        column("zone", "zone", "时区").if_wide(),
    ],
};

/// The next secret of a connection.
pub(crate) const ROTATED: View = View {
    kind: "RotatedSecret",
    noun: "connection",
    name: "connection",
    columns: &[
        column("connection", "connection", "连接"),
        column("version", "version", "版本"),
        column("before", "before", "之前版本"),
        column("master_key", "master key", "主密钥"),
        column("file", "file", "文件"),
    ],
};

/// A test in one piece, for programs.
pub(crate) const CONNECTION_TEST: View = View {
    kind: "ConnectionTest",
    noun: "connection",
    name: "connection",
    columns: &[
        column("connection", "connection", "连接"),
        column("form", "form", "业务对象"),
        flag("passed", "passed", "通过"),
        time("tested_at", "tested at", "测试时间"),
    ],
};

pub(crate) const CONNECTION_STEP: View = View {
    kind: "ConnectionStep",
    noun: "step",
    name: "step",
    columns: &[
        column("step", "step", "步骤"),
        column("outcome", "outcome", "结果").as_kind(STEP_OUTCOME),
        column("took_ms", "ms", "毫秒"),
        column("code", "code", "代码"),
        column("note", "note", "说明"),
    ],
};

pub(crate) const AUDIT: View = View {
    kind: "AuditEntry",
    noun: "audit",
    name: "seq",
    columns: &[
        column("seq", "seq", "序号"),
        time("at", "at", "时间"),
        column("actor", "actor", "操作人"),
        column("action", "action", "操作"),
        column("object", "object", "对象"),
        column("result", "result", "结果"),
        column("reason", "reason", "原因"),
        column("request_id", "request", "请求").if_wide(),
        column("params_digest", "params", "参数摘要").if_wide(),
        column("hash", "hash", "哈希").if_wide(),
    ],
};

pub(crate) const AUDIT_PROOF: View = View {
    kind: "AuditProof",
    noun: "audit",
    name: "head",
    columns: &[
        flag("intact", "intact", "完整"),
        column("entries", "entries", "条数"),
        column("broken_at", "broken at", "断裂处"),
        column("detail", "detail", "说明"),
        column("head", "head", "链尾"),
        column("signed_head.seq", "signed to", "已签名至"),
        time("signed_head.signed_at", "signed at", "签名时间"),
        column("signed_head.key_id", "signed by", "签名密钥"),
    ],
};

pub(crate) const AUDIT_KEY: View = View {
    kind: "AuditKey",
    noun: "audit_key",
    name: "id",
    columns: &[
        column("id", "id", "编号"),
        column("public_key", "public key", "公钥"),
        flag("signs", "signs now", "当前签名"),
    ],
};

pub(crate) const WHO: View = View {
    kind: "Identity",
    noun: "principal",
    name: "principal",
    columns: &[
        column("principal", "principal", "身份"),
        column("proven_by", "proven by", "凭据"),
        time("expires_at", "until", "有效期至"),
    ],
};

pub(crate) const BINDING: View = View {
    kind: "Binding",
    noun: "binding",
    name: "principal",
    columns: &[
        column("principal", "principal", "身份"),
        column("role", "role", "角色"),
        column("scope.tenant", "tenant", "租户"),
        column("scope.flow", "flow", "流程"),
        column("scope.connection", "connection", "连接"),
    ],
};

pub(crate) const ACCESS: View = View {
    kind: "AccessCheck",
    noun: "access",
    name: "allowed",
    columns: &[flag("allowed", "allowed", "允许"), column("why", "why", "说明")],
};

pub(crate) const TOKEN: View = View {
    kind: "Token",
    noun: "token",
    name: "token_id",
    columns: &[
        column("token_id", "token id", "令牌编号"),
        time("expires_at", "until", "有效期至"),
        column("token", "token", "令牌"),
    ],
};

pub(crate) const CONTEXT: View = View {
    kind: "Context",
    noun: "context",
    name: "name",
    columns: &[
        column("name", "name", "名称"),
        flag("current", "current", "当前"),
        column("endpoint", "endpoint", "地址"),
        flag("production", "production", "生产"),
        column("ca_cert", "ca cert", "CA 证书").if_wide(),
        column("client_cert", "client cert", "客户端证书").if_wide(),
        column("client_key", "client key", "客户端私钥").if_wide(),
        column("server_name", "server name", "服务器名").if_wide(),
        column("token_file", "token file", "令牌文件").if_wide(),
        column("token_command", "token command", "令牌命令").if_wide(),
        column("tenant", "tenant", "租户").if_wide(),
        column("timeout", "timeout", "超时").if_wide(),
        column("lang", "language", "语言").if_wide(),
        flag("utc", "utc", "UTC").if_wide(),
    ],
};

pub(crate) const STEP: View = View {
    kind: "DoctorStep",
    noun: "step",
    name: "step",
    columns: &[
        column("step", "step", "步骤").as_kind(WORD),
        column("result", "result", "结果").as_kind(WORD),
        column("detail", "detail", "详情"),
        column("advice", "advice", "建议"),
    ],
};

pub(crate) const VERSION: View = View {
    kind: "Version",
    noun: "version",
    name: "version",
    columns: &[column("name", "name", "名称"), column("version", "version", "版本")],
};

pub(crate) const NOUNS: View = View {
    kind: "Noun",
    noun: "noun",
    name: "name",
    columns: &[column("name", "noun", "名词"), column("note", "what it is", "说明")],
};

pub(crate) const FIELDS: View = View {
    kind: "Field",
    noun: "field",
    name: "name",
    columns: &[column("name", "name", "名称"), column("type", "type", "类型"), column("note", "what it is", "说明")],
};
