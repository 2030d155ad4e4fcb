//! Parts of an order, one behind the other, and how the letters of each are found.
//!
//! Of a selector that many letters satisfy, a page is full after a few steps along the order; of one that few satisfy, all
//! of them may be found faster by another index, and sorted. SQLite cannot know which it is. So the first steps go along
//! the order, and only what they do not find is left to SQLite: no page sorts letters by the thousand, and going on
//! from page to page never takes the square of all letters.

use document::Fault;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::page::{Key, Order};
use super::plan::Plan;
use super::schema::failed;

/// For each letter of a page, so many are looked at along the order.
const STEPS: usize = 20;

/// A part of an order.
#[derive(Debug)]
pub(super) struct Stretch {
    /// The keys behind which it begins; none at the beginning of all.
    after: Option<Vec<Key>>,
    /// The keys with which it ends; none at the end of all.
    to: Option<Vec<Key>>,
    /// Whether to go along the order, or by whatever SQLite takes for shorter.
    along: bool,
}

/// What lies behind `after`, in parts: each may be left out when those before it filled the page.
///
/// # Errors
/// `E_INDEX`.
pub(super) fn stretches(
    connection: &Connection,
    plan: &Plan,
    (order, descending): (Order, bool),
    after: Option<Vec<Key>>,
    limit: usize,
) -> Result<Vec<Stretch>, Fault> {
    // A scan goes along the order: it ends anywhere, and the next one goes on from there.
    if plan.residual.is_some() || plan.sought {
        return Ok(vec![Stretch { after, to: None, along: plan.residual.is_some() }]);
    }
    let all = Stretch { after, to: None, along: true };
    let (rest, mut values) = all.sql(order, descending);
    let columns = order.columns();
    let sql = format!("SELECT {} FROM letters {} WHERE 1 {rest} LIMIT 1 OFFSET ?", columns.join(", "), all.by(order));
    values.push(Value::Integer(i64::try_from(limit.saturating_mul(STEPS)).unwrap_or(i64::MAX)));
    let reached = connection
        .prepare_cached(&sql)
        .and_then(|mut statement| {
            let keys = |row: &Row<'_>| (0..columns.len()).map(|at| key(row, at)).collect::<rusqlite::Result<_>>();
            statement.query_row(params_from_iter(values), keys).optional()
        })
        .map_err(failed("the letters cannot be read"))?;
    let Some(reached): Option<Vec<Key>> = reached else { return Ok(vec![all]) };
    Ok(vec![Stretch { to: Some(reached.clone()), ..all }, Stretch { after: Some(reached), to: None, along: false }])
}

fn key(row: &Row<'_>, at: usize) -> rusqlite::Result<Key> {
    Ok(match row.get_ref(at)? {
        ValueRef::Integer(number) => Key::Number(number),
        other => Key::Text(other.as_str()?.to_owned()),
    })
}

impl Stretch {
    /// After `FROM letters`: the index to go by, where one is prescribed.
    pub(super) fn by(&self, order: Order) -> String {
        if self.along { format!("INDEXED BY {}", order.index()) } else { String::new() }
    }

    /// Behind a condition: that the letters lie in the stretch, and their order. And the values of its places.
    pub(super) fn sql(&self, order: Order, descending: bool) -> (String, Vec<Value>) {
        let columns = order.columns();
        let (behind, up_to, direction) = if descending { ("<", ">=", "DESC") } else { (">", "<=", "ASC") };
        let (mut sql, mut values) = (String::new(), Vec::new());
        for (sign, keys) in [(behind, &self.after), (up_to, &self.to)] {
            if let Some(keys) = keys {
                let places = vec!["?"; columns.len()].join(", ");
                sql.push_str(&format!("AND ({}) {sign} ({places}) ", columns.join(", ")));
                values.extend(keys.iter().cloned().map(Value::from));
            }
        }
        let ordered: Vec<String> = columns.iter().map(|column| format!("{column} {direction}")).collect();
        sql.push_str(&format!("ORDER BY {}", ordered.join(", ")));
        (sql, values)
    }
}
