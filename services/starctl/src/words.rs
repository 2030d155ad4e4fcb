//! The two languages in which starctl speaks to people.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A language. Prose, headings and advice are translated. Words of the interface, which selectors and programs need, stay;
/// in tables their meaning stands before them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    #[default]
    En,
    Zh,
}

impl Language {
    /// The text of this language.
    pub(crate) fn pick<T>(self, english: T, chinese: T) -> T {
        match self {
            Language::En => english,
            Language::Zh => chinese,
        }
    }
}

/// What a word of the interface means, in Chinese.
pub(crate) fn chinese(word: &str) -> Option<&'static str> {
    CHINESE.iter().find(|(known, _)| *known == word).map(|(_, chinese)| *chinese)
}

const CHINESE: &[(&str, &str)] = &[
    // States of letters, jobs and flows, and outcomes.
    ("open", "未处理"),
    ("replaying", "重放中"),
    ("resolved", "已解决"),
    ("superseded", "已被取代"),
    ("parked", "已搁置"),
    ("discarded", "已放弃"),
    ("running", "运行中"),
    ("paused", "已暂停"),
    ("done", "已完成"),
    ("cancelled", "已取消"),
    ("stopped", "已中止"),
    ("awaits_approval", "待批准"),
    ("waiting", "等待发布"),
    ("published", "已发布"),
    ("failed", "失败"),
    ("skipped", "跳过"),
    ("passed", "通过"),
    ("deleted", "已删除"),
    ("faulty", "不可用"),
    ("on_command", "按命令运行"),
    // Changes of letters, and what a look into the target finds.
    ("arrived", "新死信"),
    ("failed_again", "再次失败"),
    ("decided", "已决定"),
    ("absent", "目标中没有"),
    ("same", "相同"),
    ("different", "不同"),
    ("several", "有多张"),
    // Categories of faults.
    ("validation", "校验"),
    ("mapping", "映射"),
    ("reference_missing", "缺少引用"),
    ("duplicate", "重复"),
    ("permission", "权限"),
    ("business_rule", "业务规则"),
    ("throttled", "限流"),
    ("transport", "传输"),
    ("in_doubt", "结果不明"),
    ("poison", "毒单据"),
    ("configuration", "配置"),
    ("unknown", "未知"),
    // Steps of doctor, and how they went.
    ("context", "上下文"),
    ("files", "文件"),
    ("tcp", "网络连接"),
    ("tls", "加密连接"),
    ("server certificate", "服务器证书"),
    ("client certificate", "客户端证书"),
    ("client key", "客户端私钥"),
    ("signed in", "登录"),
    ("version", "版本"),
    ("status", "运行状态"),
    ("settings", "服务器设置"),
    ("endpoint", "地址"),
    ("authority", "签发机构"),
    ("token", "令牌"),
    ("clock", "时钟"),
    ("ok", "正常"),
    ("warning", "警告"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use document::Category;

    #[test]
    fn every_category_has_a_meaning_in_chinese() {
        for category in Category::ALL {
            assert!(chinese(category.as_str()).is_some(), "{category}");
        }
        assert_eq!(chinese("misc-inbound"), None);
    }
}
