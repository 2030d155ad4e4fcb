//! Every case file of the published corpus, and of our own additions, passes.

use std::path::{Path, PathBuf};

use flow::cases::CaseFile;

fn run_folder(folder: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder is part of the repository")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.to_string_lossy().ends_with(".cases.json"))
        .collect();
    files.sort();
    let mut cases = 0;
    for path in files {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let file = CaseFile::read(&name, &text).unwrap_or_else(|fault| panic!("{fault}"));
        let document =
            std::fs::read_to_string(folder.join(&file.metadata)).expect("the document lies beside its cases");
        let outcomes =
            file.run(&document, &flow::Shelf::default()).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
        for outcome in outcomes {
            let diffs: Vec<String> =
                outcome.differences.iter().map(|found| format!("{}:\n{}", found.key, found.diff)).collect();
            assert!(outcome.passed(), "{name}: {}\n{}\n{:?}", outcome.name, diffs.join("\n"), outcome.faults);
            cases += 1;
        }
    }
    cases
}

#[test]
fn the_published_cases_pass() {
    assert_eq!(run_folder("corpus"), 8);
}

#[test]
fn our_own_cases_pass() {
    assert_eq!(run_folder("cases"), 13);
}
