//! What `--help` says of each command, in Chinese. The English texts stand beside the commands ([`crate::cli`]).

use clap::{Arg, Command, ValueEnum};

use crate::words::Language;

/// The command with its texts in the language that the command line or the environment asks for. Help is given while the
/// arguments are still being read, so the language is looked for before.
pub(crate) fn translated(command: Command) -> Command {
    match wanted(std::env::args()) {
        Language::En => command,
        Language::Zh => chinese(command, ""),
    }
}

/// The language that arguments ask for, else the environment.
fn wanted(arguments: impl Iterator<Item = String>) -> Language {
    let mut mine = vec!["starctl".to_owned()];
    let mut arguments = arguments.skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--lang" {
            mine.push(argument);
            mine.extend(arguments.next());
        } else if argument.starts_with("--lang=") {
            mine.push(argument);
        }
    }
    let lang = Arg::new("lang").long("lang").env("STARCTL_LANG").overrides_with("lang");
    // A wrong value is complained of when the whole line is read.
    let asked = Command::new("starctl").arg(lang).try_get_matches_from(mine).ok();
    asked
        .and_then(|matches| matches.get_one::<String>("lang").cloned())
        .and_then(|word| Language::from_str(&word, false).ok())
        .unwrap_or_default()
}

fn chinese(command: Command, path: &str) -> Command {
    let text = ABOUT.iter().find(|(known, _)| *known == path).map(|(_, text)| *text);
    let command = match text {
        Some(text) => command.about(text).long_about(None),
        None => command,
    };
    let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command.mut_subcommand(name, |inner| chinese(inner, &path))
    })
}

/// The texts by the words of the command.
const ABOUT: &[(&str, &str)] = &[
    ("", "照看 Starbridge：流程、死信及其去向。"),
    ("flow", "流程：离线检查文件，在线查看与管理。"),
    ("flow lint", "报告流程、文档和用例文件的全部问题，附位置和提示。"),
    ("flow test", "按用例文件运行旁边的文档，显示结果与预期的差异。"),
    ("flow render", "显示样例行会变成的目标单据。"),
    ("flow fmt", "将流程文件和文档写成规范格式；内容与注释不变。"),
    ("flow schema", "输出流程文件的 JSON Schema。"),
    ("flow list", "列出已发布的流程。"),
    ("flow get", "显示一个流程；-o json 时包括其文本。"),
    ("flow describe", "说明一个已发布流程的作用、状态、运行时间及未处理的死信。"),
    ("flow apply", "检查流程目录，发布并使其生效。"),
    ("flow diff", "显示流程目录与已发布版本的差异。"),
    ("flow history", "列出流程的各个版本，新的在前。"),
    ("flow rollback", "使较早的版本重新生效。"),
    ("flow canary", "发布流程目录，并让一部分单据试行；同一单据始终归同一侧。"),
    ("flow promote", "将试行版本转为当前版本。"),
    ("flow abort", "中止试行，全部单据恢复使用当前版本。"),
    ("flow delete", "删除流程：不再读取和传输；各版本保留，可回退恢复。"),
    ("flow pause", "暂停流程：恢复之前不再读取新数据。"),
    ("flow resume", "恢复流程运行。"),
    ("flow run", "在计划之外立即运行流程。"),
    ("api", "接口：流程所调用的其他系统的接口。"),
    ("api list", "列出流程文档可以使用的接口。"),
    ("api get", "显示一个接口。"),
    ("schedule", "计划：各流程何时运行。"),
    ("schedule list", "列出已发布流程的计划及下次触发时间。"),
    ("schedule next", "显示流程计划接下来的触发时间。"),
    ("schedule trigger", "在计划之外立即运行流程，与 flow run 相同。"),
    ("tenant", "租户：有哪些租户的流程，其系统允许多少调用。"),
    ("tenant list", "列出已发布流程的租户及其未处理的内容。"),
    ("tenant get", "显示租户的流程。"),
    ("tenant quota", "说明租户流程所用系统每分钟允许多少调用，以及还有哪些流程共用。"),
    ("dlq", "死信：查看、处理、重放。"),
    ("dlq list", "列出死信，不含内容。"),
    ("dlq get", "显示一条死信及其内容、原因和处理办法。"),
    ("dlq stats", "按流程、状态、阶段、类别、代码和时长统计死信。"),
    ("dlq tail", "持续显示死信的每次变化，直到中断；断线后自动续接。"),
    ("dlq explain-selector", "用文字说明选择条件的含义，以及是否读取内容。"),
    ("dlq edit", "修改重放时将发布的内容；原件保留。"),
    ("dlq claim", "声明由你处理这些死信；状态不变，也不限制他人。"),
    ("dlq unclaim", "声明不再有人处理这些死信。"),
    ("dlq export", "把死信及重放时将发布的内容写入文件：首行为文件头，其后每条一行 JSON。"),
    ("dlq import", "将死信文件与现状比对；加 --as-edit 时把改动记为编辑。"),
    ("dlq unseal", "输出加密死信文件的原文。"),
    ("dlq discard", "永久放弃死信。"),
    ("dlq park", "搁置死信，按条件重放时不再选中。"),
    ("dlq refetch", "从来源重新读取死信的单据，而不是重发死信中的内容；之后重放死信即以“已被取代”结束。"),
    ("dlq reopen", "重新打开已搁置的死信。"),
    ("dlq replay", "以任务方式重新发布死信。"),
    ("secret", "静态保存的连接密钥：密文文件与主密钥；无需服务器。"),
    ("secret key", "在目录中生成下一个主密钥，此后由它加密。"),
    ("secret seal", "从标准输入读取连接密钥，写成设置所指的密文文件。"),
    ("secret rewrap", "用最新主密钥重新包裹密文文件，其中的密钥不变。"),
    ("secret retire", "当所有密文文件都不再需要时，删除旧主密钥。"),
    ("backfill", "补录：从流程的来源读取过去的一段时间。"),
    ("backfill start", "逐时段读取过去的一段；--dry-run 只说明有多少个时段。"),
    ("backfill list", "列出补录任务，新的在前。"),
    ("backfill get", "显示补录任务的当前状态。"),
    ("backfill watch", "跟踪补录任务直到结束。"),
    ("backfill pause", "不再开始新的时段；正在读取的时段读完为止。"),
    ("backfill resume", "从暂停处继续。"),
    ("backfill cancel", "结束补录任务；已读的保留，正在读取的时段读完为止。"),
    ("reconcile", "对账：询问流程的两侧系统，列出不一致之处。"),
    ("reconcile start", "开始对账；--dry-run 只说明最多调用多少次。"),
    ("reconcile list", "列出对账报告，新的在前。"),
    ("reconcile get", "显示一份报告及其发现；有不一致时退出码为 6。"),
    ("reconcile watch", "等待报告完成并显示；有不一致时退出码为 6。"),
    ("replay", "重放任务：跟踪、暂停、结束。"),
    ("replay list", "列出任务，新的在前。"),
    ("replay get", "显示任务的当前状态。"),
    ("replay watch", "跟踪任务直到结束；有死信再次失败时退出码为 6。"),
    ("replay approve", "查看后批准他人的重放计划，使其执行。"),
    ("replay pause", "暂停发布；已发布的继续处理。"),
    ("replay resume", "继续发布。"),
    ("replay cancel", "结束任务；尚未发布的死信保持未处理。"),
    ("replay report", "列出任务中的死信及其结果。"),
    ("doubt", "结果不明的单据：不知目标是否已有。"),
    ("doubt list", "列出结果不明的单据。"),
    ("doubt get", "显示一张结果不明的单据：在何处、账本如何记载；不查询目标。"),
    ("doubt check", "立即查询目标，并排显示我方单据与目标单据；不做任何更改。"),
    ("doubt resolve", "在目标系统查证后，由人确认单据的结果。"),
    ("record", "单张单据。"),
    ("record trace", "说明单据经过各阶段的情况。"),
    ("lineage", "字段血缘：目标字段来自哪个源字段。"),
    ("lineage flow", "显示流程目标单据的每个字段来自何处、经过什么表达式。"),
    ("lineage field", "显示与一个字段有关的来源，目标或源字段均可。"),
    ("connection", "连接：流程读写的各个系统。"),
    ("connection list", "列出控制面可以访问的连接。"),
    ("connection get", "显示一个连接，不含密钥。"),
    ("connection test", "逐步测试连接并给出建议；有步骤失败时退出码为 9。"),
    ("connection schema", "输出服务设置中连接（[connections.NAME]）的 JSON Schema。"),
    ("connection rotate", "将连接的新密钥加密写入其文件，并说明后续步骤；无需服务器。"),
    ("audit", "审计记录。"),
    ("audit list", "列出谁做了什么，新的在前。"),
    ("audit verify", "读取全部记录，校验哈希链和最后签名；被破坏时退出码为 9。"),
    ("audit get-key", "输出为审计链尾签名的公钥；请保存在本系统人员无法更改之处。"),
    ("auth", "登录、令牌与角色。"),
    ("auth login", "从终端（不回显）、标准输入或文件读取令牌，验证后为上下文保存。"),
    ("auth logout", "删除本机保存的令牌；令牌在到期或吊销前仍有效。"),
    ("auth whoami", "显示你的身份、有效期和角色。"),
    ("auth can-i", "说明你能否做某事及原因；不能时退出码为 4。"),
    ("auth bootstrap", "用一次性引导凭据换取首位管理员的令牌并保存。"),
    ("auth issue-token", "签发令牌：仅此一次输出到标准输出或文件。"),
    ("auth revoke-token", "吊销令牌；所有副本在 30 秒内拒绝它。"),
    ("auth bindings", "列出谁在何处有何角色。"),
    ("auth bind", "授予角色。"),
    ("auth unbind", "收回角色。"),
    ("context", "保存在上下文文件中的控制面。"),
    ("context list", "列出上下文。"),
    ("context use", "切换当前上下文。"),
    (
        "context set",
        "新建或修改上下文：--endpoint、--ca-cert、--client-cert、--client-key、--server-name、--token-file、--timeout、--lang、--utc。",
    ),
    ("context view", "显示生效的设置：上下文加上参数和环境变量。"),
    ("context delete", "删除上下文；令牌文件保留。"),
    ("doctor", "逐步检查到控制面的通路并给出建议。"),
    ("explain", "解释一个名词或其字段；explain flow NAME 说明该流程做什么。"),
    ("completion", "输出 shell 的命令补全脚本。"),
    ("version", "显示版本。"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    use crate::cli::Cli;

    /// Every command by its words, with what is said of it.
    fn all(command: &Command, path: &str, into: &mut Vec<(String, String)>) {
        into.push((path.to_owned(), command.get_about().map(ToString::to_string).unwrap_or_default()));
        for inner in command.get_subcommands() {
            let path =
                if path.is_empty() { inner.get_name().to_owned() } else { format!("{path} {}", inner.get_name()) };
            all(inner, &path, into);
        }
    }

    #[test]
    fn every_command_is_told_in_both_languages() {
        let mut commands = Vec::new();
        all(&chinese(Cli::command(), ""), "", &mut commands);
        for (path, about) in &commands {
            assert!(about.chars().any(|character| character > '\u{2e80}'), "{path}: {about}");
        }
        for (path, _) in ABOUT {
            assert!(commands.iter().any(|(known, _)| known == path), "{path} is no command");
        }
    }

    #[test]
    fn the_language_is_found_wherever_it_stands() {
        let of = |words: &[&str]| wanted(words.iter().map(|word| (*word).to_owned()));
        assert_eq!(of(&["starctl", "dlq", "--lang", "zh", "--help"]), Language::Zh);
        assert_eq!(of(&["starctl", "--lang=zh"]), Language::Zh);
        assert_eq!(of(&["starctl", "--lang", "fr"]), Language::En);
    }

    #[test]
    fn the_arguments_are_in_order() {
        Cli::command().debug_assert();
    }
}
