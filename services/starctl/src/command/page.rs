//! Lists that come page by page.

use serde_json::{Map, Value};

use crate::cli::PageArgs;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::output::view::View;

/// The largest page that the control plane gives.
const LARGEST: u32 = 1_000;

/// What was read of a list, and how it goes on.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) items: Vec<T>,
    /// Continues the list; empty at its end.
    pub(crate) next: String,
}

/// Reads pages until there are as many items as wanted, or no more.
pub(crate) async fn read<T, F, Fut>(page: &PageArgs, mut fetch: F) -> Result<Part<T>, Failure>
where
    F: FnMut(i32, String) -> Fut,
    Fut: Future<Output = Result<(Vec<T>, String), Failure>>,
{
    let mut items = Vec::new();
    let mut next = page.page_token.clone().unwrap_or_default();
    loop {
        let wanted = page.limit - u32::try_from(items.len()).unwrap_or(page.limit).min(page.limit);
        if wanted == 0 {
            return Ok(Part { items, next });
        }
        let size = i32::try_from(wanted.min(LARGEST)).expect("a page is small");
        let (more, token) = fetch(size, next).await?;
        items.extend(more);
        next = token;
        if next.is_empty() {
            return Ok(Part { items, next });
        }
    }
}

/// Sorts items as they were asked to be, where the control plane did not do so.
pub(crate) fn sort(view: &View, items: &mut [Value], by: Option<&str>) -> Result<(), Failure> {
    match by {
        Some(by) if !view.sort(items, by) => {
            let known: Vec<&str> = view.columns.iter().map(|column| column.key).collect();
            Err(Failure::usage(format!("cannot sort by {by}; there are {}", known.join(", "))))
        }
        _ => Ok(()),
    }
}

/// Shows a part of a list, and how to see the rest.
pub(crate) fn show(
    output: &Output,
    view: &View,
    part: &Part<Value>,
    mut more: Map<String, Value>,
) -> Result<(), Failure> {
    more.insert("next_page_token".to_owned(), Value::from(part.next.as_str()));
    output.list(view, &part.items, &more)?;
    if part.next.is_empty() {
        return Ok(());
    }
    output.remark(&format!("{} --page-token {}", output.pick("there is more:", "还有更多："), part.next))
}
