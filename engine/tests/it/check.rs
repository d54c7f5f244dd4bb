//! `tessera check` says of a project what the next refresh will say.

use crate::shop::{CONFIG, Shop};

const CONTACTS: &str = "id,email,updated,deleted,first_name,country\nc1,ada@example.com,2026-05-01,false,Ada,FR\n";
const COUNTRIES: &str = "-- key: country\n-- strategy: full\n-- columns:\n--   country  text    where\n--   \
                         people   bigint  how many\nselect country, count(*) as people\nfrom profile.profiles\ngroup by country\n";

async fn checked(shop: &Shop) -> Result<(), String> {
    shop.engine.check().await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn test_models_may_name_attributes_and_traits() {
    let shop = Shop::new(CONFIG);
    shop.write("traits/orders.sql", "event_count('Order Completed')");
    shop.land("crm", CONTACTS).await;
    shop.write("models/mart/countries.sql", COUNTRIES);
    let error = checked(&shop).await.unwrap_err();
    assert!(error.contains("are known after the first `tessera refresh`"), "{error}");
    shop.refresh(false).await;
    shop.write("models/mart/buyers.sql", &COUNTRIES.replace("group by", "where orders > 0 group by"));
    assert_eq!(checked(&shop).await, Ok(()));
    shop.refresh(false).await;
    assert_eq!(shop.rows("select * from mart.countries").await, ["FR | 1"]);

    shop.write("models/mart/buyers.sql", &COUNTRIES.replace("group by", "where\n    ordrs > 0\ngroup by"));
    let error = checked(&shop).await.unwrap_err();
    assert!(error.contains("mart/buyers.sql:9") && error.contains("No field named ordrs"), "{error}");
}

#[tokio::test]
async fn test_attributes_have_the_types_that_they_will_have() {
    let mut shop = Shop::new(CONFIG);
    shop.land("crm", CONTACTS).await;
    shop.refresh(false).await;
    shop.configure(&format!("{CONFIG}\n[[attribute]]\nname = 'country'\nrule = 'all'\n"));
    shop.write("segments/french.sql", "country = 'FR'");
    let error = checked(&shop).await.unwrap_err();
    assert!(error.contains("segments/french.sql:1:1"), "{error}");
    shop.write("segments/french.sql", "contains(country, 'FR')");
    assert_eq!(checked(&shop).await, Ok(()));
    shop.refresh(false).await;
}

#[tokio::test]
async fn test_what_stood_beside_a_trait_has_its_name_once_that_is_gone() {
    let shop = Shop::new(CONFIG);
    shop.write("traits/country.sql", "coalesce(first_name, 'nobody')");
    shop.land("crm", CONTACTS).await;
    shop.refresh(false).await;
    assert_eq!(shop.rows("select country, country_attribute from profile.profiles").await, ["Ada | FR"]);
    std::fs::remove_file(shop.folder.path().join("traits/country.sql")).unwrap();
    shop.write("segments/french.sql", "country = 'FR'");
    assert_eq!(checked(&shop).await, Ok(()));
    shop.refresh(false).await;
    assert_eq!(shop.rows("select segment, size from segment.sizes where generation = 2").await, ["french | 1"]);
}

#[tokio::test]
async fn test_what_a_segment_names_has_a_column_however_many_are_told() {
    let shop = Shop::new(CONFIG);
    let told = |name: usize, person: usize| {
        format!(
            r#"{{"type":"identify","messageId":"{name}-{person}","userId":"u{person}","traits":{{"wish_{name:03}":"yes"}},"timestamp":"2026-05-01T10:00:00Z"}}"#
        )
    };
    // Two people have each of 200 wishes, and one has another.
    let wishes = (0..400).map(|number| told(number / 2, number % 2));
    let lines: Vec<String> = wishes.chain([told(999, 1)]).collect();
    shop.land("web", &lines.join("\n")).await;
    shop.refresh(false).await;
    let columns =
        "select count(*) from information_schema.columns where table_name = 'profiles' and column_name = 'wish_999'";
    assert_eq!(shop.rows(columns).await, ["0"]);
    shop.write("segments/rare.sql", "wish_999 = 'yes'");
    assert_eq!(checked(&shop).await, Ok(()));
    shop.refresh(false).await;
    assert_eq!(shop.rows("select segment, size from segment.sizes where generation = 2").await, ["rare | 1"]);
    assert_eq!(shop.rows(columns).await, ["1"]);
}

#[tokio::test]
async fn test_what_needs_no_data_is_checked_before_the_first_refresh() {
    let shop = Shop::new(CONFIG);
    // Which attributes there are is not known, so that any name may be one, and those of traits that name them are right, too.
    shop.write("traits/orders.sql", "event_count('Order Completed')");
    shop.write("traits/place.sql", "coalesce(country, 'nowhere')");
    shop.write("traits/is_far.sql", "place <> 'FR'");
    shop.write("segments/far.sql", "-- title: Far\nis_far and in_segment('buyers')");
    shop.write("segments/buyers.sql", "orders > 0 and consented('email')");
    assert_eq!(checked(&shop).await, Ok(()));

    shop.write("traits/spent.sql", "-- window: soon\nevent_sum('Order Completed', revenue)");
    shop.write("traits/Best Of.sql", "orders > 3");
    shop.write("traits/one.sql", "two + 1");
    shop.write("traits/two.sql", "one + 1");
    shop.write("traits/lately.sql", "country = 'FR' and did('X', within => interval '14 dayz')");
    shop.write("traits/kind.sql", "in_segment('buyers')");
    let error = checked(&shop).await.unwrap_err();
    for expected in [
        "traits/spent.sql:1:1: header `window`: 'soon' is not an interval",
        "traits/Best Of.sql: trait name `Best Of` may hold only",
        "traits/one.sql:1:1: traits refer to each other in a circle: `one` -> `two` -> `one`",
        "traits/lately.sql:1:48: `dayz` is not a unit of time",
        "traits/kind.sql:1:1: `in_segment` is not available in traits",
    ] {
        assert!(error.contains(expected), "{expected} is not in:\n{error}");
    }
    assert_eq!(error.lines().count(), 5, "{error}");
}

#[tokio::test]
async fn test_segments_that_need_no_data_are_checked_before_the_first_refresh() {
    let shop = Shop::new(CONFIG);
    shop.write("traits/orders.sql", "event_count('Order Completed')");
    shop.write("lists/vips.csv", "email\nada@example.com\n");
    for (name, text) in [
        ("Bad Name", "order_count > 3"),
        ("headed", "-- titel: x\norder_count > 3"),
        ("open", "country = 'FR"),
        ("dayz", "country = 'FR' and did('X', within => interval '14 dayz')"),
        ("number", "orders + order_count"),
        ("circle", "country = 'FR' and in_segment('circles')"),
        ("circles", "in_segment('circle')"),
        ("nobody", "plan = 'gold' and in_segment('nobdy') and in_list('vip')"),
        ("right", "plan = 'gold' and in_list('vips') and did('X', within => interval '0 days')"),
    ] {
        shop.write(&format!("segments/{name}.sql"), text);
    }
    let error = checked(&shop).await.unwrap_err();
    for expected in [
        "segments/Bad Name.sql: segment name `Bad Name` may hold only",
        "segments/headed.sql:1:1: unknown header `titel`; did you mean `title`?",
        "segments/open.sql:1:11: the quote that begins `'FR` is not closed",
        "segments/dayz.sql:1:48: `dayz` is not a unit of time",
        "segments/number.sql:1:1: ",
        "segments/circle.sql:1:20: segments refer to each other in a circle: `circle` -> `circles` -> `circle`",
        "segments/nobody.sql:1:19: there is no segment `nobdy`",
        "segments/nobody.sql:1:43: there is no list `vip`; did you mean `vips`?",
    ] {
        assert!(error.contains(expected), "{expected} is not in:\n{error}");
    }
    assert_eq!(error.lines().count(), 8, "{error}");
}
