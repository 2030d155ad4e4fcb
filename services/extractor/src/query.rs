//! The wording of a page: the flow's own filter, and what a scan adds to it.

use chrono_tz::Tz;
use document::Fault;
use flow::{Flow, Page};
use kingdee::BillQuery;
use kingdee::filter::{and, quote};

use crate::core::columns::Columns;
use crate::core::key::Key;
use crate::core::run::{Ask, Plan, Scope};
use crate::core::scan::Position;
use crate::core::window;

/// The call that reads a page.
///
/// # Errors
/// The fault of a value of the source document that cannot be computed.
pub fn bill_query(flow: &Flow, plan: &Plan, ask: &Ask) -> Result<BillQuery, Fault> {
    let columns = match (&plan.lookback, ask.heads) {
        (Some(look), true) => &look.columns,
        _ => &plan.rules.columns,
    };
    let start_row = match ask.position {
        Position::Row(row) => row,
        _ => 0,
    };
    let size = u64::from(ask.limit);
    let mut run = flow.run(ask.run_time, ask.since);
    run.page = Some(Page { size, start_row, start_page: start_row / size.max(1) + 1 });
    let own = ask.lookback && plan.lookback.as_ref().is_some_and(|look| !look.conclusive);
    let query = if own { flow.source.remedy_query(&run)? } else { flow.source.query(&run)? };
    let mut conditions = vec![query.filter];
    conditions.extend(scope(columns, &plan.rules.columns, ask, plan.rules.zone));
    conditions.extend(position(columns, &ask.position));
    let order = match columns.key() {
        Some(key) => {
            let keys: Vec<String> =
                [Some(key), columns.entry()].into_iter().flatten().map(|k| format!("{k} ASC")).collect();
            keys.join(",")
        }
        None => query.order,
    };
    Ok(BillQuery {
        form_id: query.form_id,
        field_keys: columns.keys().to_vec(),
        filter: and(&conditions),
        order,
        // An absolute end would cut every page behind it.
        top_row_count: 0,
        start_row,
        limit: ask.limit,
        sub_system_id: query.sub_system_id,
    })
}

/// Which bills.
fn scope(columns: &Columns, bills: &Columns, ask: &Ask, zone: Tz) -> Option<String> {
    match &ask.scope {
        Scope::Window => {
            let stamp = bills.stamp()?;
            Some(format!("{stamp} >= {}", quote(&window::lower_bound(ask.since, zone))))
        }
        Scope::Before(until) => {
            let stamp = bills.stamp()?;
            let (from, to) = (window::lower_bound(ask.since, zone), window::upper_bound(*until, zone));
            Some(and(&[format!("{stamp} >= {}", quote(&from)), format!("{stamp} < {}", quote(&to))]))
        }
        Scope::Ids(ids) => {
            let key = columns.key()?;
            let ids: Vec<String> = ids.iter().map(literal).collect();
            Some(format!("{key} in ({})", ids.join(",")))
        }
    }
}

/// Which part of them.
fn position(columns: &Columns, position: &Position) -> Option<String> {
    let key = columns.key()?;
    let behind = |entry: &Key| columns.entry().map(|field| format!("{field} > {}", literal(entry)));
    Some(match position {
        Position::Start | Position::Row(_) => return None,
        Position::From(bill) => format!("{key} >= {}", literal(bill)),
        Position::After(bill) => format!("{key} > {}", literal(bill)),
        Position::Only(bill) => format!("{key} = {}", literal(bill)),
        Position::Rest { key: bill, entry } => and(&[format!("{key} = {}", literal(bill)), behind(entry)?]),
        Position::Beyond { key: bill, entry } => match entry.as_ref().and_then(behind) {
            Some(behind) => format!("{key} > {bill} or ({key} = {bill} and {behind})", bill = literal(bill)),
            None => format!("{key} > {}", literal(bill)),
        },
    })
}

fn literal(key: &Key) -> String {
    match key {
        Key::Integer(number) => number.to_string(),
        Key::Text(text) => quote(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::unit;

    /// 2024-03-14 16:00:00 in Shanghai.
    const NOON: i64 = 1_710_403_200;

    fn asked(heads: bool, scope: Scope, position: Position) -> BillQuery {
        let unit = unit();
        let ask = Ask { heads, lookback: heads, scope, position, limit: 4, since: NOON, run_time: NOON + 600 };
        bill_query(&unit.flow, &unit.plan, &ask).expect("a query")
    }

    const OWN: &str = "(FAPPROVEDATE >='2024-03-14' or FNote = 'x') and (FApproveDate >= '2024-03-14 16:00:00')";

    #[test]
    fn the_first_page_bounds_the_documents_filter_by_the_instant() {
        let query = asked(false, Scope::Window, Position::Start);
        assert_eq!(query.form_id, "STK_MISCELLANEOUS");
        assert_eq!(query.filter, OWN);
        assert_eq!(query.order, "FID ASC,FEntity_FEntryID ASC");
        assert_eq!((query.start_row, query.top_row_count, query.limit), (0, 0, 4));
        assert_eq!(query.field_keys, ["FEntity_FEntryID", "FBillNo", "FQty", "FID", "FApproveDate"]);
    }

    #[test]
    fn every_position_is_a_condition_of_its_own() {
        let five = || Key::Integer(5);
        for (position, condition) in [
            (Position::From(five()), "FID >= 5"),
            (Position::After(five()), "FID > 5"),
            (Position::Only(five()), "FID = 5"),
            (Position::Rest { key: five(), entry: Key::Integer(9) }, "(FID = 5) and (FEntity_FEntryID > 9)"),
            (
                Position::Beyond { key: five(), entry: Some(Key::Integer(9)) },
                "FID > 5 or (FID = 5 and FEntity_FEntryID > 9)",
            ),
            (Position::Beyond { key: five(), entry: None }, "FID > 5"),
            (Position::From(Key::Text("a'b".to_owned())), "FID >= 'a''b'"),
        ] {
            assert_eq!(asked(false, Scope::Window, position).filter, format!("{OWN} and ({condition})"));
        }
        assert_eq!(asked(false, Scope::Window, Position::Row(8)).start_row, 8);
    }

    #[test]
    fn a_window_is_bounded_on_both_sides() {
        let query = asked(false, Scope::Before(NOON + 3_600), Position::After(Key::Integer(5)));
        let window = "((FApproveDate >= '2024-03-14 16:00:00') and (FApproveDate < '2024-03-14 17:00:00'))";
        let own = "(FAPPROVEDATE >='2024-03-14' or FNote = 'x')";
        assert_eq!(query.filter, format!("{own} and {window} and (FID > 5)"));
    }

    #[test]
    fn a_lookback_reads_heads_and_then_bills_by_id() {
        let heads = asked(true, Scope::Window, Position::Start);
        assert_eq!((heads.field_keys.join(","), heads.order.as_str()), ("FID,FApproveDate".to_owned(), "FID ASC"));
        assert_eq!(heads.filter, OWN);
        let ids = Scope::Ids(vec![Key::Integer(1), Key::Text("b'".to_owned())]);
        let bills = asked(false, ids, Position::Start);
        assert_eq!(bills.filter, "(FAPPROVEDATE >='2024-03-14' or FNote = 'x') and (FID in (1,'b'''))");
    }
}
