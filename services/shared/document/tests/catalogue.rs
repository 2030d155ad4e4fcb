//! The published catalogue of codes is the one in the code. `make catalogue` writes it again.

use std::fmt::Write as _;
use std::path::PathBuf;

use document::Code;
use document::code::Advice;

fn page(title: &str, heads: [&str; 4], advice: fn(Code) -> Advice) -> String {
    let mut page = format!("# {title}\n\n| {} |\n|---|---|---|---|\n", heads.join(" | "));
    for code in Code::ALL {
        let Advice { cause, way_out } = advice(*code);
        writeln!(page, "| `{code}` | {} | {cause} | {way_out} |", code.category()).expect("a text takes everything");
    }
    page
}

#[expect(clippy::disallowed_methods, reason = "a test has no settings; `make catalogue` says so by its environment")]
fn writing() -> bool {
    std::env::var("STARBRIDGE_WRITE").is_ok()
}

#[test]
fn the_published_catalogue_is_current() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/catalogue");
    let pages = [
        ("codes.md", page("Error codes", ["code", "category", "cause", "way out"], Code::english)),
        ("codes.zh-CN.md", page("错误码", ["错误码", "类别", "原因", "解决办法"], Code::chinese)),
    ];
    for (name, text) in pages {
        let path = folder.join(name);
        if writing() {
            std::fs::create_dir_all(&folder).expect("the folder can be made");
            std::fs::write(&path, &text).expect("the page can be written");
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(published == text, "{name} is not current: run `make catalogue`");
    }
    assert!(Code::ALL.len() >= 60);
}
