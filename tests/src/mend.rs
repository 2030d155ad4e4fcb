//! What a person does in the target before parked orders are replayed: creates missing products, frees used numbers.

use anyhow::Context as _;
use serde_json::json;

use crate::compare::rules::Expectation;
use crate::fleet::Galaxy;

/// Creates the products that the target does not know and removes the foreign documents that hold our numbers.
///
/// # Errors
/// The target does not do it.
pub async fn target(galaxy: &Galaxy, expectation: &Expectation) -> anyhow::Result<()> {
    let products: Vec<_> =
        expectation.unknown_products.iter().map(|product| json!({"FNumber": product, "FName": product})).collect();
    if !products.is_empty() {
        let order = json!({"form": "BD_MATERIAL", "documents": products, "create_base_data": true});
        galaxy.admin("/documents", Some(&order)).await.context("creating products")?;
    }
    for number in &expectation.held_numbers {
        galaxy.remove("STK_MISCELLANEOUS", number).await.context("removing a foreign document")?;
    }
    Ok(())
}
