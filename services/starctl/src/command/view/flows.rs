//! What is shown of flows, their versions, schedules, fields and files.

use super::{WORD, column, flag, time};
use crate::output::view::View;

pub(crate) const FLOW: View = View {
    kind: "Flow",
    noun: "flow",
    name: "name",
    columns: &[
        column("name", "flow", "流程"),
        column("title", "title", "名称"),
        column("version", "version", "版本"),
        column("source_connection", "source", "来源"),
        column("target_connection", "target", "目标"),
        column("schedule", "schedule", "计划"),
        flag("paused", "paused", "已暂停"),
        column("paused_note", "why", "暂停说明").if_wide(),
        column("tenant", "tenant", "租户").if_wide(),
        column("zone", "zone", "时区").if_wide(),
        column("delivery", "delivery", "投递级别").if_wide(),
        time("reading.completed_at", "last read", "上次读完").if_wide(),
        time("reading.read_up_to", "up to", "读至").if_wide(),
        column("deleted_note", "deleted", "删除说明").if_wide(),
        column("faults", "faults", "问题").if_wide(),
    ],
};

pub(crate) const FORMATTED: View = View {
    kind: "FormattedFile",
    noun: "file",
    name: "file",
    columns: &[column("file", "file", "文件"), flag("changed", "changed", "有变化")],
};

pub(crate) const API: View = View {
    kind: "Api",
    noun: "api",
    name: "name",
    columns: &[
        column("name", "name", "接口"),
        column("system", "system", "系统"),
        column("direction", "direction", "方向"),
        column("documents", "documents a call", "每次单据数"),
        flag("repeatable", "repeatable", "可重复调用"),
        column("does", "what it does", "作用"),
        column("flows", "flows", "流程"),
    ],
};

pub(crate) const SCHEDULE: View = View {
    kind: "Schedule",
    noun: "flow",
    name: "flow",
    columns: &[
        column("flow", "flow", "流程"),
        column("cron", "cron", "计划"),
        column("zone", "zone", "时区"),
        column("state", "state", "状态").as_kind(WORD),
        time("next", "next", "下次触发"),
        time("reading.completed_at", "last read", "上次读完"),
        time("reading.read_up_to", "up to", "读至").if_wide(),
        column("title", "title", "名称").if_wide(),
        column("note", "why", "说明").if_wide(),
    ],
};

pub(crate) const TENANT: View = View {
    kind: "Tenant",
    noun: "tenant",
    name: "name",
    columns: &[
        column("name", "tenant", "租户"),
        column("flows", "flows", "流程"),
        column("paused", "paused", "已暂停"),
        column("open", "open letters", "未处理死信"),
        column("parked", "parked", "已搁置"),
        column("in_doubt", "in doubt", "结果不明"),
    ],
};

pub(crate) const TENANT_FLOW: View = View {
    kind: "TenantFlow",
    noun: "flow",
    name: "flow",
    columns: &[
        column("flow", "flow", "流程"),
        column("state", "state", "状态").as_kind(WORD),
        column("source", "source", "来源"),
        column("target", "target", "目标"),
        column("title", "title", "名称"),
    ],
};

pub(crate) const QUOTA: View = View {
    kind: "Quota",
    noun: "connection",
    name: "connection",
    columns: &[
        column("connection", "connection", "连接"),
        column("calls_per_minute", "calls a minute", "每分钟调用"),
        column("flows", "flows", "本租户流程"),
        column("others", "other flows", "其他流程"),
    ],
};

pub(crate) const FIRING: View = View {
    kind: "Firing",
    noun: "firing",
    name: "at",
    columns: &[time("at", "at", "时间"), column("local", "in the flow's zone", "流程时区时间")],
};

pub(crate) const CANARY_SIDE: View = View {
    kind: "CanarySide",
    noun: "version",
    name: "version",
    columns: &[
        column("side", "side", "一侧"),
        column("version", "version", "版本"),
        column("applied", "applied", "已写入"),
        column("failed", "failed", "失败"),
    ],
};

/// A flow with its texts, which only programs get in one piece.
pub(crate) const FLOW_DETAIL: View = View {
    kind: "FlowDetail",
    noun: "flow",
    name: "flow.name",
    columns: &[column("flow.name", "flow", "流程"), column("flow.version", "version", "版本")],
};

/// A flow on a page, which only programs get in one piece.
pub(crate) const FLOW_DESCRIPTION: View = View {
    kind: "FlowDescription",
    noun: "flow",
    name: "flow.name",
    columns: &[
        column("flow.name", "flow", "流程"),
        column("state", "state", "状态").as_kind(WORD),
        column("does", "what it does", "作用"),
        column("next", "next firings", "接下来的触发"),
        column("open_letters", "open letters", "未处理死信"),
    ],
};

pub(crate) const CATEGORY: View = View {
    kind: "Category",
    noun: "category",
    name: "category",
    columns: &[column("category", "category", "类别").as_kind(WORD), column("count", "letters", "数量")],
};

pub(crate) const FLOW_VERSION: View = View {
    kind: "FlowVersion",
    noun: "version",
    name: "version",
    columns: &[
        column("version", "version", "版本"),
        time("published_at", "published", "发布时间"),
        flag("current", "current", "当前"),
    ],
};

pub(crate) const FLOW_CHANGE: View = View {
    kind: "FlowChange",
    noun: "flow",
    name: "flow.name",
    columns: &[
        column("flow.name", "flow", "流程"),
        column("flow.version", "version", "版本"),
        column("previous_version", "before", "之前版本"),
        column("differences", "differences", "差异"),
    ],
};

pub(crate) const FLOW_DELETED: View = View {
    kind: "DeletedFlow",
    noun: "flow",
    name: "flow.name",
    columns: &[
        column("flow.name", "flow", "流程"),
        column("flow.deleted_note", "deleted", "删除说明"),
        column("under_way", "on their way", "在途"),
        column("open_letters", "open letters", "未处理死信"),
    ],
};

pub(crate) const LINEAGE: View = View {
    kind: "LineageLine",
    noun: "field",
    name: "target",
    columns: &[
        column("target", "target field", "目标字段"),
        column("how", "how", "方式"),
        column("from", "from", "来源字段"),
        column("expression", "expression", "表达式"),
        column("collections", "collections", "集合").if_wide(),
        column("place", "place", "位置").if_wide(),
    ],
};
