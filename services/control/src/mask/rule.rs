//! Rules that name fields.

use std::str::FromStr;

use document::{Code, Fault};

/// The fields that are masked where nothing else is set: numbers by which a person is reached, identified or paid, names
/// of persons, and secrets.
pub const DEFAULT_RULES: [&str; 34] = [
    "*mobile*",
    "*phone*",
    "tel",
    "FTel",
    "*telephone*",
    "*email*",
    "*idcard*",
    "*identitycard*",
    "*idnumber",
    "*bankaccount*",
    "*bankcard*",
    "FBankCode",
    "FBankHolder",
    "*cardno",
    "FContact",
    "contact",
    "*contactname",
    "*contactperson",
    "*linkman",
    "*consignee",
    "*receivername",
    "*realname",
    "*password*",
    "*secret*",
    "*手机*",
    "*电话*",
    "*邮箱*",
    "*身份证*",
    "*证件号*",
    "*银行账号*",
    "*银行卡*",
    "*联系人*",
    "*收货人*",
    "*密码*",
];

/// Names fields by the end of their path: `FMobile` wherever it stands, `FContact.FName` under its parent,
/// `$.Model.FNote` from the root on. A `*` at either end of a name stands for anything there, and alone for any name.
/// Places in lists do not count, and neither do case, `_` and `-`. A member `a.b` is `b` in `a`.
///
/// What a rule names is masked with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRule {
    from_root: bool,
    names: Vec<Name>,
}

/// A name of a path, or what it is like.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    text: String,
    open_before: bool,
    open_after: bool,
}

impl Name {
    fn matches(&self, name: &str) -> bool {
        match (self.open_before, self.open_after) {
            (false, false) => name == self.text,
            (false, true) => name.starts_with(&self.text),
            (true, false) => name.ends_with(&self.text),
            (true, true) => name.contains(&self.text),
        }
    }
}

/// `name` as rules compare it.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// The path elements that the member `key` stands for.
pub(super) fn path_of(key: &str) -> impl Iterator<Item = String> + '_ {
    key.split('.').map(plain)
}

impl FieldRule {
    /// Whether the rule names the field at `path`, whose elements come from [`path_of`].
    pub(super) fn names(&self, path: &[String]) -> bool {
        let Some(before) = path.len().checked_sub(self.names.len()) else { return false };
        (before == 0 || !self.from_root)
            && self.names.iter().zip(&path[before..]).all(|(rule, name)| rule.matches(name))
    }
}

impl FromStr for FieldRule {
    type Err = Fault;
    /// # Errors
    /// A [`Fault`] with [`Code::MaskRule`] when a name is empty or has a `*` inside.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let (from_root, path) = match text.strip_prefix("$.") {
            Some(path) => (true, path),
            None => (false, text),
        };
        let name = |part: &str| {
            let name = |text: &str, open_before, open_after| Name { text: plain(text), open_before, open_after };
            match (part.strip_prefix('*'), part.strip_suffix('*')) {
                (Some(""), _) => Some(name("", true, true)),
                (Some(rest), Some(_)) => rest.strip_suffix('*').map(|inner| name(inner, true, true)),
                (Some(end), None) => Some(name(end, true, false)),
                (None, Some(beginning)) => Some(name(beginning, false, true)),
                (None, None) => Some(name(part, false, false)),
            }
            .filter(|name| !name.text.contains('*') && (!name.text.is_empty() || part == "*"))
        };
        let names: Option<Vec<Name>> = path.split('.').map(name).collect();
        match names {
            Some(names) => Ok(Self { from_root, names }),
            None => Err(Fault::new(Code::MaskRule, format!("{text:?} names no field")).hint(
                "a name such as FMobile, a path such as FContact.FName or $.Model.FNote; * at either end of a name",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rule: &str, path: &[&str]) -> bool {
        let path: Vec<String> = path.iter().flat_map(|key| path_of(key)).collect();
        rule.parse::<FieldRule>().expect("a rule").names(&path)
    }

    #[test]
    fn a_name_is_found_wherever_it_stands() {
        assert!(names("FMobile", &["FMobile"]));
        assert!(names("FMobile", &["Model", "FContact", "f_mobile"]));
        assert!(names("FMobile", &["FContact.FMobile"]));
        assert!(!names("FMobile", &["FMobile", "FNumber"]), "what lies in it is masked with it");
        assert!(!names("FMobile", &["FMobileKind"]));
        assert!(!names("FMobile", &[]));
    }

    #[test]
    fn a_path_is_found_by_its_end_or_from_the_root() {
        assert!(names("FContact.FName", &["Model", "FContact", "FName"]));
        assert!(!names("FContact.FName", &["FCustomer", "FName"]));
        assert!(names("$.Model.FNote", &["Model", "FNote"]));
        assert!(!names("$.Model.FNote", &["Old", "Model", "FNote"]));
        assert!(names("FContact.*", &["FContact", "anything"]));
        assert!(!names("FContact.*", &["anything"]));
    }

    #[test]
    fn a_star_stands_for_the_rest_of_a_name() {
        assert!(names("*mobile*", &["customerMobilePhone"]));
        assert!(names("*phone", &["FTelePhone"]));
        assert!(!names("*phone", &["phoneKind"]));
        assert!(names("phone*", &["phone_kind"]));
        assert!(names("*手机*", &["客户手机号"]));
    }

    #[test]
    fn what_names_no_field_is_refused() {
        for text in ["", ".", "a..b", "$.", "a*b", "**", "*a*b*", "_"] {
            let fault = text.parse::<FieldRule>().expect_err("no rule");
            assert_eq!(fault.code, Code::MaskRule, "{text:?}");
        }
    }
}
