//! The folders of flows: what is in them, and what is wrong with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use document::{Code, Fault, FlowName};
use flow::{FLOW_FILE, FileNames, Flow, FlowBundle};

/// A flow as it was found.
#[derive(Debug)]
pub struct Found {
    /// Its folder.
    pub place: PathBuf,
    /// Its texts.
    pub bundle: FlowBundle,
    /// Read.
    pub flow: Arc<Flow>,
}

/// Flows by the folders they were found in.
pub type Known = BTreeMap<PathBuf, Arc<Flow>>;

/// What the folders hold.
#[derive(Debug, Default)]
pub struct Findings {
    /// Good flows, by name.
    pub flows: BTreeMap<FlowName, Found>,
    /// Every fault of the others. A flow with a fault is left out; the rest go on.
    pub faults: Vec<Fault>,
    /// What is odd about the good ones, and what overrode what.
    pub notes: Vec<String>,
}

/// Reads every flow below `folders`: a folder that holds a flow file is a flow, another one holds folders that are.
///
/// What is `known` and has not changed is taken as it is, without its notes: folders are looked at every few seconds, and
/// compiling every flow anew would cost the memory of all of them a second time.
pub fn read(folders: &[PathBuf], known: &Known) -> Findings {
    let mut findings = Findings::default();
    let mut places: BTreeMap<FlowName, Vec<PathBuf>> = BTreeMap::new();
    for folder in folders {
        for place in flow_folders(folder, &mut findings.faults) {
            let found = match read_one(&place, known.get(&place), &mut findings.notes) {
                Ok(found) => found,
                Err(faults) => {
                    findings.faults.extend(faults);
                    continue;
                }
            };
            places.entry(found.flow.name.clone()).or_default().push(place);
            findings.flows.insert(found.flow.name.clone(), found);
        }
    }
    for (name, places) in places {
        if places.len() > 1 {
            let list: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            let fault = Fault::new(Code::FlowTwice, format!("flow {name} is in {}", list.join(" and ")));
            findings.faults.push(fault.in_file(list.join(", ")).at_path("flow").of_record(name.as_str()));
            findings.flows.remove(&name);
        }
    }
    findings
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(Code::FlowsFolder, format!("cannot be read: {error}")).in_file(path.display().to_string())
}

fn flow_folders(folder: &Path, faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    if folder.join(FLOW_FILE).is_file() {
        return vec![folder.to_owned()];
    }
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            faults.push(unreadable(folder, &error));
            return Vec::new();
        }
    };
    let mut places = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) if entry.path().join(FLOW_FILE).is_file() => places.push(entry.path()),
            Ok(_) => {}
            Err(error) => faults.push(unreadable(folder, &error)),
        }
    }
    places.sort();
    places
}

fn read_one(place: &Path, known: Option<&Arc<Flow>>, notes: &mut Vec<String>) -> Result<Found, Vec<Fault>> {
    let text = |name: &str| {
        let path = place.join(name);
        std::fs::read_to_string(&path).map_err(|error| vec![unreadable(&path, &error)])
    };
    let flow = text(FLOW_FILE)?;
    let within = |mut fault: Fault| {
        let file = fault.place.file.as_ref().map_or_else(|| place.to_owned(), |file| place.join(file));
        fault.place.file = Some(file.display().to_string());
        fault
    };
    let names = FileNames::of(&flow).map_err(|fault| vec![within(fault)])?;
    let collections = names.collections.into_iter().map(|(scheme, name)| Ok((scheme, text(&name)?)));
    let collections = collections.collect::<Result<_, Vec<Fault>>>()?;
    let bundle = FlowBundle { source: text(&names.source)?, target: text(&names.target)?, collections, flow };
    let found = |bundle, flow| Found { place: place.to_owned(), bundle, flow };
    if let Some(known) = known.filter(|known| known.version == bundle.version()) {
        return Ok(found(bundle, Arc::clone(known)));
    }
    match flow::compile(&bundle) {
        Ok(compiled) => {
            let name = compiled.flow.name.clone();
            notes.extend(compiled.notes.iter().map(|note| format!("{name}: {note}")));
            notes.extend(compiled.warnings.into_iter().map(|warning| within(warning).to_string()));
            Ok(found(bundle, Arc::new(compiled.flow)))
        }
        Err(faults) => Err(faults.into_iter().map(within).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let missing = PathBuf::from("no/such/folder");
        let findings = read(std::slice::from_ref(&missing), &Known::new());
        assert_eq!(findings.faults.len(), 1);
        assert_eq!(findings.faults[0].code, Code::FlowsFolder);
        assert_eq!(findings.faults[0].place.file.as_deref(), Some("no/such/folder"));
        assert!(findings.flows.is_empty());
    }

    fn put(folder: &Path, flow: &str) {
        std::fs::create_dir_all(folder).expect("a folder");
        let source = crate::testing::source().to_string();
        for (name, text) in
            [("flow.toml", flow), ("source.json", &source), ("target.json", &crate::testing::target().to_string())]
        {
            std::fs::write(folder.join(name), text).expect("a file");
        }
    }

    #[test]
    fn a_folder_is_a_flow_or_holds_flows_and_a_bad_one_leaves_the_others_alone() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let (good, bad, alone) =
            (scratch.path().join("all/good"), scratch.path().join("all/bad"), scratch.path().join("b"));
        put(&good, crate::testing::FLOW);
        put(&bad, &crate::testing::FLOW.replace("[target]", "[targt]"));
        put(&alone, &crate::testing::FLOW.replace("misc-inbound", "other"));
        let findings = read(&[scratch.path().join("all"), alone], &Known::new());
        let names: Vec<&str> = findings.flows.keys().map(FlowName::as_str).collect();
        assert_eq!(names, ["misc-inbound", "other"]);
        assert!(!findings.faults.is_empty());
        let file = bad.join("flow.toml").display().to_string();
        assert!(
            findings.faults.iter().all(|fault| fault.place.file.as_deref() == Some(file.as_str())),
            "{:?}",
            findings.faults
        );
    }

    #[test]
    fn only_what_has_changed_is_compiled_again() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let (kept, changed) = (scratch.path().join("kept"), scratch.path().join("changed"));
        put(&kept, crate::testing::FLOW);
        put(&changed, &crate::testing::FLOW.replace("misc-inbound", "other"));
        let known = |findings: &Findings| -> Known {
            findings.flows.values().map(|found| (found.place.clone(), Arc::clone(&found.flow))).collect()
        };
        let before = known(&read(&[scratch.path().to_owned()], &Known::new()));
        put(&changed, &crate::testing::FLOW.replace("misc-inbound", "renamed"));
        let after = read(&[scratch.path().to_owned()], &before);
        let names: Vec<&str> = after.flows.keys().map(FlowName::as_str).collect();
        assert_eq!(names, ["misc-inbound", "renamed"]);
        let after = known(&after);
        assert!(Arc::ptr_eq(&before[&kept], &after[&kept]));
        assert!(!Arc::ptr_eq(&before[&changed], &after[&changed]));
    }

    #[test]
    fn two_flows_of_one_name_are_both_refused() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        put(&scratch.path().join("a"), crate::testing::FLOW);
        put(&scratch.path().join("b"), crate::testing::FLOW);
        let findings = read(&[scratch.path().to_owned()], &Known::new());
        assert!(findings.flows.is_empty());
        assert_eq!(findings.faults[0].code, Code::FlowTwice);
        assert_eq!(findings.faults[0].place.path.as_deref(), Some("flow"));
        assert_eq!(findings.faults[0].place.record.as_deref(), Some("misc-inbound"));
    }

    #[test]
    fn collection_files_are_part_of_the_flow_and_a_missing_one_is_named() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let folder = scratch.path().join("a");
        put(&folder, &format!("{}\n[collections]\nu = \"materials.json\"\n", crate::testing::FLOW));
        let findings = read(&[scratch.path().to_owned()], &Known::new());
        let file = folder.join("materials.json").display().to_string();
        assert_eq!((findings.flows.len(), findings.faults[0].place.file.as_deref()), (0, Some(file.as_str())));
        std::fs::write(&file, "[]").expect("a file");
        let findings = read(&[scratch.path().to_owned()], &Known::new());
        let found = findings.flows.values().next().expect("a flow");
        assert_eq!(found.bundle.collections.get("u").map(String::as_str), Some("[]"));
        assert_eq!(found.flow.collections.schemes(), ["u"]);
    }

    #[test]
    fn a_document_outside_the_folder_is_not_read() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let flow = crate::testing::FLOW.replace("[source]", "[source]\ndocument = \"../secret.json\"");
        put(&scratch.path().join("a"), &flow);
        let findings = read(&[scratch.path().to_owned()], &Known::new());
        assert_eq!((findings.flows.len(), findings.faults[0].code), (0, Code::FlowsFolder));
    }
}
