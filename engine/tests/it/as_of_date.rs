//! Tables as they would have been on a day of before.

use chrono::NaiveDate;
use futures::StreamExt;
use tempfile::TempDir;
use tessera_engine::Progress;

use crate::shop::{CONFIG, Shop, text_rows};

async fn rows(shop: &Shop, day: &str, query: &str) -> Vec<String> {
    let (scratch, day) = (TempDir::new().unwrap(), day.parse::<NaiveDate>().unwrap());
    let made = shop.engine.sql_as_of_date(query, day, scratch.path(), &Progress::none()).await.unwrap();
    let batches: Vec<_> = made.batches.map(|batch| batch.unwrap()).collect().await;
    text_rows(&batches)
}

#[tokio::test(flavor = "multi_thread")]
async fn test_columns_have_the_names_that_they_have_now() {
    const QUERY: &str = "select loyalty, loyalty_attribute from profile.profiles";
    let page = r#"{"type":"page","messageId":"1","timestamp":"2026-05-01T10:00:00Z","userId":"cat"}"#;
    let told = r#"{"type":"identify","messageId":"2","timestamp":"2026-05-03T10:00:00Z","userId":"cat","traits":{"loyalty":"gold"}}"#;
    let shop = Shop::new(CONFIG);
    shop.write("traits/loyalty.sql", "event_count('Page Viewed')");
    shop.land("web", page).await;
    // Before anything is published, too.
    assert_eq!(rows(&shop, "2026-05-04", "select loyalty from profile.profiles").await, ["1"]);
    shop.refresh(false).await;
    // An attribute is told under the name of the trait, which keeps it.
    shop.land("web", told).await;
    shop.refresh(false).await;
    assert_eq!(shop.rows(QUERY).await, ["1 | gold"]);
    assert_eq!(rows(&shop, "2026-05-04", QUERY).await, ["1 | gold"]);
    assert_eq!(rows(&shop, "2026-05-02", QUERY).await, ["1 | null"]);

    let unpublished = Shop::new(CONFIG);
    unpublished.write("traits/loyalty.sql", "event_count('Page Viewed')");
    for call in [page, told] {
        unpublished.land("web", call).await;
    }
    assert_eq!(rows(&unpublished, "2026-05-04", QUERY).await, ["1 | gold"]);
}
