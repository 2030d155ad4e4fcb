//! The forms of a value: constant, reference, template, `_function`, lookups. Told apart and parsed once, at load.

use std::sync::Arc;

use document::{Code, Fault};
use serde_json::Value;

use super::report::Report;
use crate::file::FunctionError;
use crate::function::{self, FUNCTION, Program, Run, Scope};
use crate::lookup::Lookup;
use crate::reference::{Piece, Reference, Template, parse_template};

/// A value, compiled.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// Null, absent or the empty text.
    Absent,
    Constant(Value),
    Lookup(Arc<Lookup>),
    Function {
        program: Arc<Program>,
        /// The whole text, for `functionError: passthrough`.
        written: Arc<Template>,
    },
    Reference(Reference),
    Template(Arc<Template>),
}

impl Form {
    /// Tells the form of a declared value and parses it.
    pub(crate) fn compile(declared: &Value, place: &str, report: &mut Report) -> Form {
        let text = match declared {
            Value::Null => return Form::Absent,
            Value::String(text) if text.is_empty() => return Form::Absent,
            Value::String(text) => text,
            constant => return Form::Constant(constant.clone()),
        };
        match Form::of_text(text) {
            Ok(form) => form,
            Err(fault) if fault.code == Code::Function && report.function_error == Some(FunctionError::Passthrough) => {
                let passed = parse_template(text).ok();
                report.warn(fault.code, place, format!("{}; the text is passed through", fault.detail));
                passed.map_or(Form::Absent, |template| Form::Template(Arc::new(template)))
            }
            Err(fault) => {
                report.push_fault(load_fault(fault), place);
                Form::Absent
            }
        }
    }

    /// The form of a text.
    pub(crate) fn of_text(text: &str) -> Result<Form, Fault> {
        if let Some(lookup) = Lookup::parse(text) {
            return lookup.map(|lookup| Form::Lookup(Arc::new(lookup)));
        }
        if let Some(expression) = text.strip_prefix(FUNCTION) {
            let program = Program::compile(expression)?;
            // Only for the text it would pass through: a reference that is no reference there is text.
            let written = parse_template(text)?;
            return Ok(Form::Function { program: Arc::new(program), written: Arc::new(written) });
        }
        let template = parse_template(text)?;
        if let Some(reference) = template.whole() {
            return Ok(Form::Reference(reference.clone()));
        }
        Ok(match template.constant() {
            Some(_) => Form::Constant(Value::String(text.to_owned())),
            None => Form::Template(Arc::new(template)),
        })
    }

    /// The value for one place; null when there is none.
    ///
    /// # Errors
    /// `E_FUNCTION`, `E_FILTER`, `E_LOOKUP`, `E_LIMIT` of whatever could not be computed.
    pub(crate) fn evaluate(&self, scope: &dyn Scope, run: &Run, on_error: FunctionError) -> Result<Value, Fault> {
        match self {
            Form::Absent => Ok(Value::Null),
            Form::Constant(value) => Ok(value.clone()),
            Form::Lookup(lookup) => Ok(scope.find(&lookup.bind(scope, run)?)),
            Form::Function { program, written } => match (program.evaluate(scope, run), on_error) {
                (Err(fault), FunctionError::Passthrough) if fault.code == Code::Function => {
                    function::render(written, scope, run, true).map(Value::String)
                }
                (outcome, _) => outcome,
            },
            Form::Reference(reference) => function::resolve(reference, scope, run),
            Form::Template(template) => function::render(template, scope, run, false).map(Value::String),
        }
    }

    /// Whether it is one run variable as it is, which is read as seconds by a date type.
    pub(crate) fn is_variable(&self) -> bool {
        match self {
            Form::Reference(reference) => {
                reference.filters.is_empty() && reference.variable().is_some_and(|variable| variable.is_time())
            }
            _ => false,
        }
    }

    /// Whether it gives the same in every document, or nothing.
    pub(crate) fn is_the_same_for_all(&self) -> bool {
        match self {
            Form::Absent | Form::Constant(_) => true,
            Form::Lookup(_) | Form::Function { .. } | Form::Reference(_) | Form::Template(_) => {
                self.references().iter().all(|reference| reference.variable().is_some())
            }
        }
    }

    /// Whether it may give something else for the same document in another run.
    pub(crate) fn varies_with_the_run(&self) -> bool {
        let clock = match self {
            Form::Function { program, .. } => program.reads_clock(),
            Form::Absent | Form::Constant(_) | Form::Lookup(_) | Form::Reference(_) | Form::Template(_) => false,
        };
        clock || self.references().iter().any(|reference| reference.variable().is_some())
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Form::Absent)
    }

    /// Every reference in it, those of lookups inside expressions included.
    pub(crate) fn references(&self) -> Vec<&Reference> {
        match self {
            Form::Absent | Form::Constant(_) => Vec::new(),
            Form::Lookup(lookup) => lookup.references(),
            Form::Function { program, .. } => program.references().iter().collect(),
            Form::Reference(reference) => vec![reference],
            Form::Template(template) => template.references().collect(),
        }
    }

    /// The schemes whose records it looks into.
    pub(crate) fn schemes(&self) -> Vec<&str> {
        match self {
            Form::Lookup(lookup) => vec![lookup.collection()],
            Form::Function { program, .. } => program.lookups().iter().map(Lookup::collection).collect(),
            _ => Vec::new(),
        }
    }
}

/// A filter that does not exist is a fault of the document, not of a value.
fn load_fault(fault: Fault) -> Fault {
    match fault.code {
        Code::Filter => Fault { code: Code::FilterName, ..fault },
        _ => fault,
    }
}

/// A text that may hold references to run variables only, such as the value of a condition.
pub(crate) fn run_text(template: &Template, run: &Run) -> Result<String, Fault> {
    let nothing = Value::Null;
    match template.pieces.as_slice() {
        [Piece::Literal(text)] => Ok(text.clone()),
        _ => function::render(template, &nothing, run, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run() -> Run {
        Run { now: 1_710_489_600, last_sync_time: 1_710_403_200, zone: chrono_tz::Asia::Shanghai, page: None }
    }

    fn value(text: &str, record: &Value) -> Result<Value, Code> {
        let form = Form::of_text(text).map_err(|fault| fault.code)?;
        form.evaluate(record, &run(), FunctionError::Fail).map_err(|fault| fault.code)
    }

    #[test]
    fn references_and_templates_give_the_published_results() {
        let parsed = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        for (text, record, wanted) in [
            ("{FBillNo}", json!({"FBillNo": "QTRK01"}), json!("QTRK01")),
            ("{{qty}}", parsed("{\"qty\":12.0}"), parsed("12.0")),
            ("{{platform_id}}-{{shop_no}}", json!({"platform_id": 39, "shop_no": "S01"}), json!("39-S01")),
            ("{a}-{b}", json!({"a": "x"}), json!("x-")),
            ("{gone}", json!({}), Value::Null),
            ("QTRKD01_SYS", json!({}), json!("QTRKD01_SYS")),
            (" {a}", json!({"a": "x"}), json!(" x")),
            ("{{stockin_time|datetime}}", json!({"stockin_time": 1_710_403_200}), json!("2024-03-14 16:00:00")),
            ("{u_供应商编码}", json!({"u_供应商编码": "V1"}), json!("V1")),
            ("{form.code}", json!({"form": {"code": "B1"}}), json!("B1")),
            ("{\"a\": 1}", json!({"a": "x"}), json!("{\"a\": 1}")),
            ("{{LAST_SYNC_TIME|timestamp_ms}}", json!({}), json!(1_710_403_200_000_i64)),
            ("{DAYS_AGO_3|datetime}", json!({}), json!("2024-03-12 16:00:00")),
        ] {
            assert_eq!(value(text, &record), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_blank_before_the_first_word_makes_it_text() {
        assert_eq!(value(" _function 1+1", &json!({})), Ok(json!(" _function 1+1")));
        assert_eq!(value(" _findCollection find {a}", &json!({"a": 1})), Ok(json!(" _findCollection find 1")));
        assert_eq!(value("_function 1+1", &json!({})), Ok(json!(2)));
        assert_eq!(value("_Function 1+1", &json!({})), Ok(json!("_Function 1+1")));
    }

    #[test]
    fn a_failing_function_fails_or_passes_its_text_through() {
        let form = Form::of_text("_function {{amt}}/{{n}}").expect("an expression");
        let record = json!({"amt": 1, "n": 0});
        let failed = form.evaluate(&record, &run(), FunctionError::Fail).expect_err("a division by zero");
        assert_eq!(failed.code, Code::Function);
        let passed = form.evaluate(&record, &run(), FunctionError::Passthrough);
        assert_eq!(passed.ok(), Some(json!("_function 1/0")));
    }

    #[test]
    fn what_does_not_parse_is_a_fault_at_load() {
        let mut report = Report::new("target.json");
        for text in ["_function 1 +", "_findCollection find a", "{a|upper}"] {
            assert!(Form::compile(&json!(text), "$.request[0].value", &mut report).is_absent());
        }
        let codes: Vec<Code> = report.faults.iter().map(|fault| fault.code).collect();
        assert_eq!(codes, [Code::Function, Code::Lookup, Code::FilterName]);
        for fault in &report.faults {
            assert_eq!(fault.place.path.as_deref(), Some("$.request[0].value"));
            assert_eq!(fault.place.file.as_deref(), Some("target.json"));
        }
    }
}
