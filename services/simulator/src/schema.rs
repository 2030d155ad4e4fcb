//! Forms: which fields and entities a document has. Built-in forms and those of `--schema` share one TOML format.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::filter::MAX_ENTITIES;
use crate::value::Kind;

/// The built-in forms.
const BUILT_IN: [(&str, &str); 5] = [
    ("stk-miscellaneous.toml", include_str!("../schemas/stk-miscellaneous.toml")),
    ("ap-payable.toml", include_str!("../schemas/ap-payable.toml")),
    ("sal-returnstock.toml", include_str!("../schemas/sal-returnstock.toml")),
    ("base-data.toml", include_str!("../schemas/base-data.toml")),
    ("helpers.toml", include_str!("../schemas/helpers.toml")),
];

/// A schema file: `[[forms]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaFile {
    forms: Vec<FormText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormText {
    id: String,
    name: String,
    pk: String,
    /// Key of the number; its value is unique in the form.
    #[serde(default = "bill_number")]
    number: String,
    /// Put before generated numbers.
    #[serde(default)]
    prefix: String,
    /// Key of the approve date.
    #[serde(default = "approve_date")]
    approved: String,
    /// Whether it is base data, whose documents others refer to.
    #[serde(default)]
    base: bool,
    fields: Vec<FieldText>,
    #[serde(default)]
    entities: Vec<EntityText>,
    /// Documents that exist from the start, as Models.
    #[serde(default)]
    records: Vec<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntityText {
    key: String,
    name: String,
    orm: String,
    #[serde(default = "entry_id")]
    pk: String,
    /// A sub-head: one object instead of rows.
    #[serde(default)]
    head: bool,
    #[serde(default)]
    required: bool,
    fields: Vec<FieldText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldText {
    key: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    form: Option<String>,
    #[serde(default)]
    places: Option<u32>,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    default: Option<Value>,
    #[serde(default)]
    orm: Option<String>,
}

fn bill_number() -> String {
    "FBillNo".to_owned()
}

fn approve_date() -> String {
    "FApproveDate".to_owned()
}

fn entry_id() -> String {
    "FEntryID".to_owned()
}

/// A form, ready for use.
#[derive(Debug)]
pub struct Form {
    /// The form id, in the case of its schema.
    pub id: String,
    /// What the form is called.
    pub name: String,
    /// Key of the primary key.
    pub pk: String,
    /// Head index of the number.
    pub number: usize,
    /// Head index of the name, for base data.
    pub title: Option<usize>,
    /// Put before generated numbers.
    pub prefix: String,
    /// Whether it is base data.
    pub base: bool,
    /// Head indexes of the maintained fields.
    pub maintained: Maintained,
    /// Fields of the head, then those of the sub-heads.
    pub head: Vec<Field>,
    /// Entities with rows.
    pub entities: Vec<Entity>,
    /// Sub-heads.
    pub sub_heads: Vec<SubHead>,
    /// Models of the documents that exist from the start.
    pub records: Vec<Map<String, Value>>,
    keys: HashMap<String, Slot>,
}

/// Fields the server keeps itself, as head indexes.
#[derive(Debug, Default)]
pub struct Maintained {
    /// Document status Z, A, B, C, D.
    pub status: Option<usize>,
    /// When the document was created.
    pub created: Option<usize>,
    /// When it was last saved.
    pub modified: Option<usize>,
    /// When it was audited.
    pub approved: Option<usize>,
    /// Whether it is disabled: A usable, B disabled.
    pub forbidden: Option<usize>,
}

/// A field.
#[derive(Debug)]
pub struct Field {
    /// The key in the case of the schema.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// Its member in a View reply.
    pub orm: String,
    /// Its type.
    pub kind: Kind,
    /// Whether a save demands it.
    pub required: bool,
    /// What it is when not given: a Model value, or `@now`.
    pub default: Option<Value>,
    /// The sub-head it belongs to.
    pub sub_head: Option<usize>,
}

/// An entity with rows.
#[derive(Debug)]
pub struct Entity {
    /// The key in a Model.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// Its member in a View reply.
    pub orm: String,
    /// Key of the row id.
    pub pk: String,
    /// Whether a save demands a row.
    pub required: bool,
    /// Fields of a row.
    pub fields: Vec<Field>,
}

/// An entity of one row.
#[derive(Debug)]
pub struct SubHead {
    /// The key in a Model.
    pub key: String,
    /// Its member in a View reply.
    pub orm: String,
}

/// Where a key's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The primary key.
    Pk,
    /// A field of the head or a sub-head.
    Head(usize),
    /// The id of a row of an entity.
    EntryPk(usize),
    /// The sequence, from 1, of a row of an entity.
    EntrySeq(usize),
    /// A field of a row: entity, field.
    Entry(usize, usize),
}

impl Slot {
    /// The entity whose rows this slot needs.
    pub fn entity(self) -> Option<usize> {
        match self {
            Slot::Pk | Slot::Head(_) => None,
            Slot::EntryPk(entity) | Slot::EntrySeq(entity) | Slot::Entry(entity, _) => Some(entity),
        }
    }
}

impl Form {
    /// Where `key` is, compared without regard to case; entity fields also as `Entity.Key`.
    pub fn slot(&self, key: &str) -> Option<Slot> {
        self.keys.get(&key.to_lowercase()).copied()
    }

    /// The field in a slot.
    pub fn field(&self, slot: Slot) -> Option<&Field> {
        match slot {
            Slot::Head(index) => self.head.get(index),
            Slot::Entry(entity, index) => self.entities.get(entity)?.fields.get(index),
            Slot::Pk | Slot::EntryPk(_) | Slot::EntrySeq(_) => None,
        }
    }

    fn build(text: FormText) -> Result<Form, String> {
        let mut head = fields(text.fields, None)?;
        let (mut entities, mut sub_heads) = (Vec::new(), Vec::new());
        for entity in text.entities {
            if entity.head {
                head.extend(fields(entity.fields, Some(sub_heads.len()))?);
                sub_heads.push(SubHead { key: entity.key, orm: entity.orm });
            } else {
                entities.push(Entity {
                    key: entity.key,
                    name: entity.name,
                    orm: entity.orm,
                    pk: entity.pk,
                    required: entity.required,
                    fields: fields(entity.fields, None)?,
                });
            }
        }
        if entities.len() > MAX_ENTITIES {
            return Err(format!("{}: more than {MAX_ENTITIES} entities with rows", text.id));
        }
        let keys = keys(&text.pk, &head, &sub_heads, &entities);
        let find = |key: &str| match keys.get(&key.to_lowercase()) {
            Some(Slot::Head(index)) => Some(*index),
            _ => None,
        };
        let number = find(&text.number).ok_or_else(|| format!("{}: no field {}", text.id, text.number))?;
        let maintained = Maintained {
            status: find("FDocumentStatus"),
            created: find("FCreateDate"),
            modified: find("FModifyDate"),
            approved: find(&text.approved),
            forbidden: find("FForbidStatus"),
        };
        Ok(Form {
            number,
            title: find("FName"),
            maintained,
            id: text.id,
            name: text.name,
            pk: text.pk,
            prefix: text.prefix,
            base: text.base,
            head,
            entities,
            sub_heads,
            records: text.records,
            keys,
        })
    }
}

fn fields(texts: Vec<FieldText>, sub_head: Option<usize>) -> Result<Vec<Field>, String> {
    texts
        .into_iter()
        .map(|text| {
            let kind = match text.kind.as_str() {
                "text" => Kind::Text,
                "int" => Kind::Int,
                "decimal" => Kind::Decimal(text.places.unwrap_or(10)),
                "date" => Kind::Date,
                "datetime" => Kind::DateTime,
                "bool" => Kind::Bool,
                "enum" => Kind::Enum(text.values),
                "flex" => Kind::Flex,
                "basedata" => {
                    Kind::BaseData(text.form.ok_or_else(|| format!("{}: base data names its form", text.key))?)
                }
                other => return Err(format!("{}: unknown type {other:?}", text.key)),
            };
            let orm = text.orm.unwrap_or_else(|| text.key.strip_prefix('F').unwrap_or(&text.key).to_owned());
            Ok(Field {
                key: text.key,
                name: text.name,
                orm,
                kind,
                required: text.required,
                default: text.default,
                sub_head,
            })
        })
        .collect()
}

/// Every way to name a slot, in lower case. Shorter names never displace what the head already has.
fn keys(pk: &str, head: &[Field], sub_heads: &[SubHead], entities: &[Entity]) -> HashMap<String, Slot> {
    let mut keys = HashMap::from([(pk.to_lowercase(), Slot::Pk)]);
    let mut add = |key: String, slot: Slot| {
        keys.entry(key.to_lowercase()).or_insert(slot);
    };
    for (index, field) in head.iter().enumerate() {
        add(field.key.clone(), Slot::Head(index));
        if let Some(sub_head) = field.sub_head.and_then(|at| sub_heads.get(at)) {
            add(format!("{}.{}", sub_head.key, field.key), Slot::Head(index));
        }
    }
    for (entity_index, entity) in entities.iter().enumerate() {
        for joint in ["_", "."] {
            add(format!("{}{joint}{}", entity.key, entity.pk), Slot::EntryPk(entity_index));
            add(format!("{}{joint}FSeq", entity.key), Slot::EntrySeq(entity_index));
        }
        for (index, field) in entity.fields.iter().enumerate() {
            let slot = Slot::Entry(entity_index, index);
            add(field.key.clone(), slot);
            add(format!("{}.{}", entity.key, field.key), slot);
        }
    }
    for (entity_index, entity) in entities.iter().enumerate() {
        add(entity.pk.clone(), Slot::EntryPk(entity_index));
        add("FSeq".to_owned(), Slot::EntrySeq(entity_index));
    }
    keys
}

/// Reads the built-in forms and then `further` schema files (name, text); a later form of one id replaces the earlier.
///
/// # Errors
///
/// Names the file and what is wrong with it.
pub fn load(further: &[(String, String)]) -> Result<Vec<Form>, String> {
    let mut forms: Vec<Form> = Vec::new();
    let built_in = BUILT_IN.iter().map(|(name, text)| (*name, *text));
    for (name, text) in built_in.chain(further.iter().map(|(name, text)| (name.as_str(), text.as_str()))) {
        let file: SchemaFile = toml::from_str(text).map_err(|error| format!("{name}: {error}"))?;
        for form in file.forms {
            let form = Form::build(form).map_err(|error| format!("{name}: {error}"))?;
            match forms.iter_mut().find(|known| known.id.eq_ignore_ascii_case(&form.id)) {
                Some(known) => *known = form,
                None => forms.push(form),
            }
        }
    }
    for form in &forms {
        let rows = form.entities.iter().flat_map(|entity| &entity.fields);
        for field in form.head.iter().chain(rows) {
            if let Kind::BaseData(target) = &field.kind
                && !forms.iter().any(|form| form.id.eq_ignore_ascii_case(target))
            {
                return Err(format!("{}.{} refers to the unknown form {target}", form.id, field.key));
            }
        }
    }
    Ok(forms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_forms_load_with_their_keys() {
        let forms = load(&[]).expect("the built-in forms are sound");
        let form = forms.iter().find(|form| form.id == "STK_MISCELLANEOUS").expect("it is built in");
        assert_eq!(form.slot("fid"), Some(Slot::Pk));
        assert_eq!(form.slot("FEntity_FEntryID"), Some(Slot::EntryPk(0)));
        assert_eq!(form.slot("FENTITY_FSEQ"), Some(Slot::EntrySeq(0)));
        assert!(matches!(form.slot("FMaterialId"), Some(Slot::Entry(0, _))));
        assert_eq!(form.slot("FNothing"), None);
        for id in ["AP_Payable", "SAL_RETURNSTOCK", "BD_MATERIAL", "BD_Supplier", "BD_Customer", "BD_STOCK"] {
            assert!(forms.iter().any(|form| form.id == id), "{id}");
        }
    }

    #[test]
    fn a_schema_file_with_an_unknown_key_or_type_is_refused() {
        let refused = |text: &str| load(&[("x.toml".to_owned(), text.to_owned())]).expect_err("it is unsound");
        assert!(refused("colour = 1").starts_with("x.toml: "));
        let text = "[[forms]]\nid='X'\nname='X'\npk='FID'\nfields=[{key='FBillNo',name='n',type='money'}]";
        assert_eq!(refused(text), "x.toml: FBillNo: unknown type \"money\"");
        let text = "[[forms]]\nid='X'\nname='X'\npk='FID'\nfields=[{key='FBillNo',name='n',type='text'},{key='F',name='n',type='basedata',form='NO'}]";
        assert_eq!(refused(text), "X.F refers to the unknown form NO");
    }
}
