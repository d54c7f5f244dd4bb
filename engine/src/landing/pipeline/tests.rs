//! Inputs of every form, whole and broken, and what becomes of their rows.

use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};

use super::*;
use crate::landing::schema::{Pair, events_schema, quarantine_schema, records_schema};
use crate::project::Refusal;

const LANDED_AT_US: i64 = 1_800_000_000_000_000;

const ORDERS: &str = r#"
    format = "csv"
    kind = "events"
    touchpoint = "pos"
    event = "Order Completed"
    occurred_at = "purchased_on"
    identifiers = { customer_id = "customer_id" }
    revenue = "amount"
    currency = "USD"
    properties = ["quantity"]
"#;

const CONTACTS: &str = r#"
    format = "csv"
    touchpoint = "crm"
    key = "ContactId"
    updated_at = "LastModifiedDate"
    deleted = "IsDeleted"
    identifiers = { crm_id = "ContactId", email = "Email", phone = "Phone" }
"#;

const WEB: &str = "format = \"segment\"\ntouchpoint = \"web\"\n";

/// What an input became.
struct Landed {
    rows: RecordBatch,
    quarantined: RecordBatch,
    chunks: usize,
    outcome: Result<InputSummary>,
}

impl Landed {
    fn text(&self, column: &str) -> Vec<Option<String>> {
        texts(self.rows.column_by_name(column).unwrap())
    }

    fn reasons(&self) -> Vec<(i64, String)> {
        let lines = self.quarantined.column_by_name("line").unwrap().as_primitive::<Int64Type>();
        let reasons = texts(self.quarantined.column_by_name("reason").unwrap());
        lines.values().iter().copied().zip(reasons.into_iter().flatten()).collect()
    }

    fn details(&self) -> Vec<String> {
        texts(self.quarantined.column_by_name("detail").unwrap()).into_iter().flatten().collect()
    }

    fn pairs(&self, column: &str, row: usize) -> Vec<(String, String)> {
        let pairs = self.rows.column_by_name(column).unwrap().as_list::<i32>().value(row);
        let pairs = pairs.as_struct();
        texts(pairs.column(0)).into_iter().flatten().zip(texts(pairs.column(1)).into_iter().flatten()).collect()
    }
}

fn texts(column: &ArrayRef) -> Vec<Option<String>> {
    column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(first, second)| ((*first).to_owned(), (*second).to_owned())).collect()
}

fn some(expected: &[&str]) -> Vec<Option<String>> {
    expected.iter().map(|text| Some((*text).to_owned())).collect()
}

fn land_input(source: &str, landing: &str, input: Input, threads: usize) -> Landed {
    let toml = format!(
        "version = 1\n[lake]\nurl = \"lake\"\n[landing]\n{landing}\n[[source]]\nname = \"s\"\n{source}\n[identity]\nnamespaces = [{{ name = \"customer_id\" }}, {{ name = \"crm_id\" }}, {{ name = \"user_id\" }}, {{ name = \"email\" }}, {{ name = \"phone\" }}, {{ name = \"anonymous_id\" }}]\n"
    );
    let config = ProjectConfig::parse(&toml, "tessera.toml").unwrap();
    let (mut rows, mut quarantined) = (Vec::new(), Vec::new());
    let mut sink = |chunk: ParsedChunk| {
        rows.push(chunk.rows);
        quarantined.push(chunk.quarantined);
        Ok(())
    };
    let batch = BatchContext { landed_at_us: LANDED_AT_US, identifiers: identifiers(&config) };
    let outcome = parse_input(input, &config.sources[0], &config, &batch, threads, &mut sink);
    let schema =
        if config.sources[0].kind == crate::config::SourceKind::Records { records_schema() } else { events_schema() };
    Landed {
        chunks: rows.len(),
        rows: concat_batches(&schema, &rows).unwrap(),
        quarantined: concat_batches(&quarantine_schema(), &quarantined).unwrap(),
        outcome,
    }
}

fn identifiers(config: &ProjectConfig) -> IdentifierRules {
    fn judge(identifiers: &[Pair<'_>]) -> std::result::Result<usize, Refusal> {
        let is_usable = |(_, value): &&Pair<'_>| !matches!(&**value, "null" | "anonymous");
        match identifiers.iter().filter(is_usable).count() {
            0 => Err(Refusal::Nobody),
            count => Ok(count),
        }
    }
    IdentifierRules {
        max: config.landing.identifiers_max,
        judge: Arc::new(judge),
        salesforce_namespaces: vec!["salesforce_id".to_owned()],
    }
}

fn stream(text: impl AsRef<[u8]>) -> Input {
    Input::Reader { name: "input".into(), reader: Box::new(std::io::Cursor::new(text.as_ref().to_vec())) }
}

fn land(source: &str, text: impl AsRef<[u8]>) -> Landed {
    land_input(source, "", stream(text), 2)
}

#[test]
fn test_csv_events_follow_the_mapping() {
    let landed =
        land(ORDERS, "customer_id,purchased_on,quantity,amount\n00001,1997-01-01,1,11.77\n00002,1997-01-12,5,77.00\n");
    let summary = landed.outcome.as_ref().unwrap();
    assert_eq!((summary.rows, summary.quarantined, summary.lines, summary.bytes), (2, 0, 3, 91));
    assert_eq!(landed.pairs("identifiers", 0), pairs(&[("customer_id", "00001")]));
    assert_eq!(landed.text("properties"), some(&[r#"{"quantity":"1"}"#, r#"{"quantity":"5"}"#]));
    assert_eq!(landed.text("event_name"), some(&["Order Completed", "Order Completed"]));
    assert_eq!(landed.text("event_type"), some(&["track", "track"]));
    assert_eq!(landed.text("currency"), some(&["USD", "USD"]));
    let revenue = landed.rows.column_by_name("revenue").unwrap().as_primitive::<Decimal128Type>();
    assert_eq!(revenue.values().to_vec(), [117_700, 770_000]);
    let occurred_at = landed.rows.column_by_name("occurred_at").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(occurred_at.value(0), 852_076_800_000_000);
    assert_eq!(landed.rows.column_by_name("position").unwrap().as_primitive::<Int64Type>().values().to_vec(), [0, 1]);
}

#[test]
fn test_csv_equal_rows_are_told_apart_and_longer_exports_keep_ids() {
    let row = "00001,1997-01-01,1,11.77\n";
    let other = "00002,1997-01-01,1,11.77\n";
    let header = "customer_id,purchased_on,quantity,amount\n";
    let short = land(ORDERS, format!("{header}{row}{row}")).text("event_id");
    let long = land(ORDERS, format!("{header}{other}{row}{row}{row}")).text("event_id");
    assert_eq!(short.len(), 2);
    assert_ne!(short[0], short[1]);
    assert_eq!(long[1..3], short[..]);
    assert!(long[3].as_ref().unwrap().ends_with("-2"));
    let reordered =
        land(ORDERS, "amount,quantity,purchased_on,customer_id\n11.77,1,1997-01-01,00001\n").text("event_id");
    assert_eq!(reordered[0], short[0]);
}

#[test]
fn test_csv_message_id_is_the_event_id_and_is_no_property() {
    let source = ORDERS.replace("properties = [\"quantity\"]", "message_id = \"order\"");
    let landed = land(&source, "customer_id,purchased_on,order,amount,shop\n1,1997-01-01,o-7,1,Lyon\n");
    assert_eq!(landed.text("event_id"), some(&["o-7"]));
    assert_eq!(landed.text("properties"), some(&[r#"{"shop":"Lyon"}"#]));
}

#[test]
fn test_csv_bad_rows_go_to_quarantine_with_their_lines() {
    let text = "customer_id,purchased_on,quantity,amount\r\n\
        1,1997-01-01,1,\"1.50\"\r\n\
        2,1997-01-01,1\r\n\
        \r\n\
        3,1997-01-01,\"two\r\nlines\",$5\r\n\
        4,soon,1,5\r\n\
        5,1969-01-01,1,5\r\n\
        ,1997-01-01,1,5\r\n\
        7,,1,5\r\n\
        8,1997-01-01,1,";
    let landed = land(ORDERS, text);
    let expected = [
        (3, "bad_row"),
        (5, "bad_number"),
        (7, "bad_time"),
        (8, "impossible_time"),
        (9, "no_identifier"),
        (10, "no_time"),
    ];
    assert_eq!(landed.reasons(), expected.map(|(line, reason)| (line, reason.to_owned())));
    assert_eq!(landed.rows.num_rows(), 2);
    assert!(landed.rows.column_by_name("revenue").unwrap().is_null(1));
    assert_eq!(
        texts(landed.quarantined.column_by_name("raw").unwrap())[1].as_deref(),
        Some("3,1997-01-01,\"two\r\nlines\",$5")
    );
    assert_eq!(landed.outcome.unwrap().lines, 11);
}

#[test]
fn test_csv_latin1_row_alone_is_refused() {
    let landed =
        land(ORDERS, b"customer_id;purchased_on;quantity;amount\n1;1997-01-01;caf\xe9;1\n2;1997-01-01;caf\xc3\xa9;1\n");
    assert_eq!(landed.reasons(), [(2, "bad_encoding".to_owned())]);
    assert_eq!(landed.text("properties"), some(&[r#"{"quantity":"café"}"#]));
}

#[test]
fn test_csv_missing_column_is_an_error_before_anything_lands() {
    let landed = land(ORDERS, "customer_id,purchasd_on,quantity,amount\n1,1997-01-01,1,1\n");
    assert_eq!(landed.chunks, 0);
    let error = landed.outcome.unwrap_err();
    assert_eq!(error.kind(), crate::error::ErrorKind::InvalidInput);
    let message = error.to_string();
    assert!(
        message.contains("`input`") && message.contains("`purchased_on`") && message.contains("`purchasd_on`?"),
        "{message}"
    );
}

#[test]
fn test_csv_missing_column_is_no_other_that_is_mapped() {
    let source = CONTACTS.replace("\"Phone\"", "[\"Phone\", \"Phone2\"]");
    let message = land(&source, "ContactId,Email,Phone,LastModifiedDate,IsDeleted\n").outcome.unwrap_err().to_string();
    assert!(message.contains("no column `Phone2`") && message.contains("the 5 columns of its header"), "{message}");
    let message = land(&source, "ContactId,Email,Phone,LastModifiedDate,IsDeleted,Phone_2\n").outcome.unwrap_err();
    assert!(message.to_string().contains("did you mean `Phone_2`?"), "{message}");
}

#[test]
fn test_csv_without_a_header_tells_nothing_of_its_first_row() {
    let message = land(ORDERS, "ada@example.com,1997-01-01,1,1\n").outcome.unwrap_err().to_string();
    assert!(message.contains("`purchased_on`") && message.contains("the 4 columns of its header"), "{message}");
    assert!(!message.contains("ada"), "{message}");
}

#[test]
fn test_csv_that_is_another_kind_of_file_is_told_so() {
    let gzip = |content: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(content).unwrap();
        gzip.finish().unwrap()
    };
    let text = "customer_id,purchased_on,quantity,amount\n1,1997-01-01,1,1\n";
    assert_eq!(land(ORDERS, gzip(text.as_bytes())).rows.num_rows(), 1);
    let twice = land(ORDERS, gzip(&gzip(text.as_bytes()))).outcome.unwrap_err().to_string();
    assert!(twice.contains("the header of `input`") && twice.contains("a gzip inside of another"), "{twice}");
    let workbook = b"PK\x03\x04\x14\x00\x06\x00\x08\x00\n[Content_Types].xml\xff\n";
    let workbook = land(ORDERS, workbook).outcome.unwrap_err();
    assert_eq!(workbook.kind(), crate::error::ErrorKind::InvalidInput);
    assert!(workbook.to_string().contains("save the sheet as CSV"), "{workbook}");
}

#[test]
fn test_csv_header_may_end_with_a_tab() {
    let landed = land(ORDERS, "\t \ncustomer_id\tpurchased_on\tquantity\tamount\t\r\n1\t1997-01-01\t1\t2\t\r\n");
    assert_eq!(landed.reasons(), []);
    assert_eq!(landed.rows.num_rows(), 1);
}

#[test]
fn test_csv_first_line_may_name_the_delimiter() {
    let text =
        "\u{feff}sep=|\r\ncustomer_id|purchased_on|quantity|amount\r\n1|1997-01-01|a;b,c|1\r\n|1997-01-01|1|1\r\n";
    let landed = land(ORDERS, text);
    assert_eq!(landed.text("properties"), some(&[r#"{"quantity":"a;b,c"}"#]));
    assert_eq!(landed.reasons(), [(4, "no_identifier".to_owned())]);
    assert_eq!(landed.outcome.unwrap().lines, 4);
    assert_eq!(land(ORDERS, "sep=;\n").outcome.unwrap().rows, 0);
}

#[test]
fn test_csv_amounts_that_are_too_large_are_told_from_what_is_no_number() {
    let amounts = ["99999999999999.9999", "100000000000000", "-1e15", "1e999", "$5", "inf"];
    let rows: String = amounts.iter().map(|amount| format!("1,1997-01-01,1,{amount}\n")).collect();
    let landed = land(ORDERS, format!("customer_id,purchased_on,quantity,amount\n{rows}"));
    assert_eq!(landed.reasons(), [3, 4, 5, 6, 7].map(|line| (line, "bad_number".to_owned())));
    let details = landed.details();
    assert!(details[..3].iter().all(|detail| detail.contains("too large")), "{details:?}");
    assert!(details[3..].iter().all(|detail| detail.contains("is no number")), "{details:?}");
    let text = "customer_id;purchased_on;quantity;amount\n1;1997-01-01;1;100.000.000.000.000,5\n";
    let landed = land(&format!("{ORDERS}decimal_sign = \",\"\n"), text);
    assert!(landed.details()[0].contains("at most 99999999999999.9999"), "{:?}", landed.details());
}

/// Orders of several rows, known by the first column.
fn land_grouped(text: &str) -> Landed {
    let source = format!(
        "{}message_id = \"order\"\ngroup_by = \"order\"\nproducts = {{ sku = \"quantity\" }}\n",
        ORDERS.replace("properties = [\"quantity\"]", "")
    );
    let header = "order,customer_id,purchased_on,quantity,amount\n";
    let landed = land(&source, format!("{header}{text}"));
    landed.outcome.as_ref().unwrap();
    landed
}

fn land_orders(text: &str) -> (Vec<Option<String>>, Vec<(i64, String)>) {
    let landed = land_grouped(text);
    (landed.text("event_id"), landed.reasons())
}

#[test]
fn test_csv_rows_that_do_not_follow_those_of_their_group_are_told_so() {
    // In a file of several chunks.
    let others: String = (100..300_000).map(|order| format!("o{order},1,1997-01-01,a,1\n")).collect();
    let landed =
        land_grouped(&format!("o1,1,1997-01-01,a,1\no2,1,1997-01-01,a,1\no1,,,b,\n{others}o2,,,b,\no3,,,b,\n"));
    assert_eq!(landed.rows.num_rows(), 2 + 299_900);
    assert_eq!(landed.reasons(), [4, 299_905, 299_906].map(|line| (line, "no_time".to_owned())));
    let details = landed.details();
    let advice = "`occurred_at` is empty; rows with the same `order` stand further up in the file";
    assert!(details[..2].iter().all(|detail| detail.contains(advice) && detail.ends_with("sort the file by `order`")));
    assert!(details[2].ends_with("`occurred_at` is empty"), "{details:?}");
}

#[test]
fn test_csv_group_beside_a_row_that_cannot_be_read_is_refused_whole() {
    let (events, reasons) = land_orders(
        "o1,1,1997-01-01,a,1\no2,2,1997-01-01,a,1\no2,,,b,c,\no2,,,d,\no3,3,1997-01-01,a,1\no4,4,1997-01-01,a,1\no4,,\no5,5,1997-01-01,a,1\no6,6,1997-01-01,a,1\n",
    );
    assert_eq!(events, some(&["o1", "o3", "o6"]), "line 8 may be a row of o4 or of o5");
    let mut lines: Vec<i64> = reasons.iter().map(|(line, _)| *line).collect();
    lines.sort_unstable();
    assert_eq!(lines, [3, 4, 7, 8, 9]);
    assert!(reasons.iter().all(|(_, reason)| reason == "bad_row"), "{reasons:?}");
}

#[test]
fn test_csv_group_beside_a_quote_that_nothing_closes_is_refused_whole() {
    let rows = "o1,1,1997-01-01,a,1\no2,2,1997-01-01,a,1\no2,,,\"b,\no2,,,c,\no3,3,1997-01-01,a,1\n";
    let (events, reasons) = land_orders(rows);
    assert_eq!(events, some(&["o1", "o3"]));
    assert_eq!(reasons, [(3, "bad_row".to_owned()), (5, "bad_row".to_owned())]);
    // The same in a file of several chunks: the quote may be closed far behind.
    let others: String = (4..300_000).map(|order| format!("o{order},1,1997-01-01,a,1\n")).collect();
    let (events, reasons) = land_orders(&format!("{rows}{others}"));
    assert_eq!(events.len(), 2 + 299_996);
    assert_eq!(reasons, [(3, "too_large".to_owned()), (5, "too_large".to_owned())]);
}

#[test]
fn test_csv_currency_is_a_column_where_one_exists() {
    let landed =
        land(ORDERS, "customer_id,purchased_on,quantity,amount,USD\n1,1997-01-01,1,1,EUR\n2,1997-01-01,1,1,\n");
    assert_eq!(landed.text("currency"), some(&["EUR", "USD"]));
}

#[test]
fn test_csv_empty_file_is_an_empty_batch() {
    let landed = land(ORDERS, "");
    assert_eq!(landed.outcome.unwrap().rows, 0);
    assert_eq!(land(ORDERS, "\n\r\n").outcome.unwrap().rows, 0);
    assert_eq!(land(ORDERS, "\n\ncustomer_id,purchased_on,quantity,amount\n1,1997-01-01,,").rows.num_rows(), 1);
    assert_eq!(land(ORDERS, "customer_id,purchased_on,quantity,amount").outcome.unwrap().lines, 1);
}

#[test]
fn test_csv_records_follow_the_mapping() {
    let text = "ContactId,Email,Phone,LastModifiedDate,IsDeleted,First Name,Country\n\
        c1, Ada@Example.com ,,2026-01-02 03:04:05,false,Ada,FR\n\
        c2,,+33 1,2026-01-02T03:04:05+0200,TRUE,,\n\
        ,x@y.z,,,,,\n\
        c4,,,,perhaps,,\n";
    let landed = land(CONTACTS, text);
    assert_eq!(landed.text("record_key"), some(&["c1", "c2"]));
    assert_eq!(landed.pairs("identifiers", 0), pairs(&[("crm_id", "c1"), ("email", "Ada@Example.com")]));
    assert_eq!(landed.pairs("attributes", 0), pairs(&[("First Name", "Ada"), ("Country", "FR")]));
    assert_eq!(landed.pairs("attributes", 1), pairs(&[]));
    let is_deleted = landed.rows.column_by_name("is_deleted").unwrap().as_boolean();
    assert_eq!((is_deleted.value(0), is_deleted.value(1)), (false, true));
    let payload =
        r#"{"ContactId":"c2","Phone":"+33 1","LastModifiedDate":"2026-01-02T03:04:05+0200","IsDeleted":"TRUE"}"#;
    assert_eq!(landed.text("payload")[1].as_deref(), Some(payload));
    assert_eq!(landed.reasons(), [(4, "no_key".to_owned()), (5, "bad_row".to_owned())]);
}

#[test]
fn test_records_attributes_mapping_renames_and_limits() {
    let source = format!("{CONTACTS}attributes = {{ mail = \"Email\", country = \"Country\" }}\n");
    let landed =
        land(&source, "ContactId,Email,Phone,LastModifiedDate,IsDeleted,First Name,Country\nc1,a@b.c,,,,Ada,FR\n");
    assert_eq!(landed.pairs("attributes", 0), pairs(&[("mail", "a@b.c"), ("country", "FR")]));
}

#[test]
fn test_too_many_identifiers_are_refused() {
    let text = "ContactId,Email,Phone,LastModifiedDate,IsDeleted\nc1,a@b.c,1,,\nc2,,2,,\n";
    let landed = land_input(CONTACTS, "identifiers_max = 2", stream(text), 1);
    assert_eq!(landed.reasons(), [(2, "too_many_identifiers".to_owned())]);
    assert_eq!(landed.text("record_key"), some(&["c1", "c2"]), "both versions end what was said before");
    assert_eq!(landed.pairs("identifiers", 0), pairs(&[]));
    assert_eq!(landed.pairs("attributes", 0), pairs(&[]));
    assert_eq!(landed.pairs("identifiers", 1), pairs(&[("crm_id", "c2"), ("phone", "2")]));
}

#[test]
fn test_ndjson_rows_follow_the_mapping() {
    let source = ORDERS.replace("csv", "ndjson").replace("properties = [\"quantity\"]", "");
    let text = "{\"customer_id\":7,\"purchased_on\":\"1997-01-01\",\"amount\":2.5,\"tags\":[1,\"a\"],\"gone\":null,\"n\":1.50}\r\n\n[1]\n{\"customer_id\":\n{\"purchased_on\":\"1997-01-01\"}";
    let landed = land(&source, text);
    assert_eq!(landed.text("properties"), some(&[r#"{"tags":[1,"a"],"n":1.50}"#]));
    assert_eq!(landed.pairs("identifiers", 0), pairs(&[("customer_id", "7")]));
    assert_eq!(landed.text("currency"), some(&["USD"]));
    assert_eq!(
        landed.reasons(),
        [(3, "not_an_object".to_owned()), (4, "not_json".to_owned()), (5, "no_identifier".to_owned())]
    );
}

#[test]
fn test_ndjson_line_too_long_is_refused_alone() {
    let source = ORDERS.replace("csv", "ndjson");
    let row = r#"{"customer_id":"7","purchased_on":"1997-01-01"}"#;
    let long = format!(r#"{{"customer_id":"7","purchased_on":"1997-01-01","quantity":"{}"}}"#, "x".repeat(5000));
    let landed = land_input(&source, "event_bytes_max = 4096", stream(format!("{row}\n{long}\n{row}\n")), 2);
    assert_eq!(landed.reasons(), [(2, "too_large".to_owned())]);
    assert_eq!(landed.rows.num_rows(), 2);
}

fn parquet_file(columns: Vec<(&str, ArrayRef)>) -> tempfile::NamedTempFile {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(file.as_file_mut(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

#[test]
fn test_whole_numbers_that_are_floats_are_the_same_ids() {
    use arrow::array::{Float32Array, Float64Array};
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("ContactId", std::sync::Arc::new(Float64Array::from(vec![Some(12_345_678_901.0), Some(2.5), None]))),
        ("LastModifiedDate", std::sync::Arc::new(Float64Array::from(vec![1_700_000_000.0; 3]))),
        ("Phone", std::sync::Arc::new(Float32Array::from(vec![1.0, -0.0, 1.0]))),
        ("Email", std::sync::Arc::new(Float64Array::from(vec![f64::NAN, 1e300, 1.0]))),
        ("IsDeleted", std::sync::Arc::new(Float64Array::from(vec![0.0; 3]))),
    ];
    let file = parquet_file(columns);
    let landed = land_input(&CONTACTS.replace("csv", "parquet"), "", Input::File(file.path().to_owned()), 2);
    assert_eq!(landed.text("record_key"), some(&["12345678901", "2.5"]));
    assert_eq!(landed.pairs("identifiers", 0), pairs(&[("crm_id", "12345678901"), ("email", "NaN"), ("phone", "1")]));
    assert_eq!(landed.pairs("identifiers", 1)[2], ("phone".to_owned(), "0".to_owned()));
    assert_eq!(landed.reasons(), [(3, "no_key".to_owned())]);

    let ndjson = CONTACTS.replace("csv", "ndjson");
    let lines = r#"{"ContactId":7.0,"Email":["8.0",9.0],"Phone":1.20,"spend":3.0}"#;
    let landed = land(&ndjson, lines);
    assert_eq!(landed.text("record_key"), some(&["7"]));
    let expected = [("crm_id", "7"), ("email", "8.0"), ("email", "9"), ("phone", "1.20")];
    assert_eq!(landed.pairs("identifiers", 0), pairs(&expected));
    assert_eq!(landed.pairs("attributes", 0), pairs(&[("spend", "3.0")]));
}

#[test]
fn test_parquet_rows_follow_the_mapping() {
    use arrow::array::{Date32Array, Float64Array, Int64Array, StringArray};
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("customer_id", std::sync::Arc::new(Int64Array::from(vec![Some(1), None]))),
        ("purchased_on", std::sync::Arc::new(Date32Array::from(vec![9862, 9862]))),
        ("amount", std::sync::Arc::new(Float64Array::from(vec![11.77, 1.0]))),
        ("quantity", std::sync::Arc::new(StringArray::from(vec!["007", "1"]))),
        ("at", std::sync::Arc::new(arrow::array::TimestampMillisecondArray::from(vec![0, 0]).with_timezone("UTC"))),
        (
            "tags",
            std::sync::Arc::new(arrow::array::ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
                Some(vec![Some(1), None]),
                None,
            ])),
        ),
    ];
    let mut file = parquet_file(columns);
    let source = ORDERS.replace("csv", "parquet").replace("properties = [\"quantity\"]", "");
    let landed = land_input(&source, "", Input::File(file.path().to_owned()), 2);
    let summary = landed.outcome.as_ref().unwrap();
    assert_eq!(summary.content_hash, blake3::hash(&std::fs::read(file.path()).unwrap()).to_hex().as_str());
    assert_eq!(landed.text("properties"), some(&[r#"{"quantity":"007","at":"1970-01-01T00:00:00Z","tags":[1,null]}"#]));
    assert_eq!(landed.reasons(), [(2, "no_identifier".to_owned())]);
    let occurred_at = landed.rows.column_by_name("occurred_at").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(occurred_at.value(0), 852_076_800_000_000);
    file.as_file_mut().set_len(100).unwrap();
    let cut = land_input(&source, "", Input::File(file.path().to_owned()), 2).outcome.unwrap_err();
    assert_eq!(cut.kind(), crate::error::ErrorKind::InvalidInput);
    let from_stream = land(&source, "PAR1").outcome.unwrap_err();
    assert!(from_stream.to_string().contains("save it"), "{from_stream}");
}

#[test]
fn test_segment_line_with_latin1_is_refused_alone() {
    let good = r#"{"type":"page","userId":"u","timestamp":"2026-01-02T03:04:05Z","messageId":"m1"}"#;
    let mut text = good.as_bytes().to_vec();
    text.extend_from_slice(b"\n{\"type\":\"page\",\"userId\":\"caf\xe9\"}\n\n");
    text.extend_from_slice(good.replace("m1", "m2").as_bytes());
    let landed = land(WEB, &text);
    assert_eq!(landed.reasons(), [(2, "bad_encoding".to_owned())]);
    assert_eq!(landed.text("event_id"), some(&["m1", "m2"]));
    let summary = landed.outcome.unwrap();
    assert_eq!((summary.lines, summary.quarantine_reasons["bad_encoding"]), (4, 1));
    assert_eq!(summary.content_hash, blake3::hash(&text).to_hex().as_str());
}

#[test]
fn test_segment_call_may_be_as_long_as_an_event_and_a_batch_eight_times() {
    let call = |bytes: usize| {
        let empty = r#"{"type":"page","userId":"u","timestamp":"2026-01-02T03:04:05Z","x":""}"#;
        empty.replace("\"\"", &format!("\"{}\"", "y".repeat(bytes - empty.len())))
    };
    let batch = |count: usize| format!("{{\"batch\":[{}]}}", vec![call(4096); count].join(","));
    let elements = format!("{{\"batch\":[{},{}]}}", call(4097), call(100));
    let text = [call(4096), call(4097), batch(7), batch(8), elements].join("\n");
    let landed = land_input(WEB, "event_bytes_max = 4096", stream(text), 2);
    assert_eq!(landed.rows.num_rows(), 1 + 7 + 1);
    assert_eq!(landed.reasons(), [2, 4, 5].map(|line| (line, "too_large".to_owned())));
}

#[test]
fn test_segment_call_counts_with_the_context_of_its_batch() {
    let call = |own: &str, pad: usize| {
        let pad = "y".repeat(pad);
        format!(r#"{{"type":"page","userId":"u","timestamp":"2026-01-02T03:04:05Z"{own},"x":"{pad}"}}"#)
    };
    let own = r#","context":{"ip":"1"}"#;
    let calls = [call("", 900), call("", 1200), call(own, 900), call(own, 1200)].join(",");
    let batch = |context: &str| format!(r#"{{"context":{context},"batch":[{calls}]}}"#);
    let context = format!(r#"{{"pad":"{}"}}"#, "x".repeat(3000));
    // A context that says nothing is not copied.
    let text = [batch(&context), batch(&format!("[{}]", " ".repeat(3000)))].join("\n");
    let landed = land_input(WEB, "event_bytes_max = 4096", stream(text), 2);
    assert_eq!(landed.reasons(), vec![(1, "too_large".to_owned()); 2]);
    let merged = context.replace("{", r#"{"ip":"1","#);
    let own = r#"{"ip":"1"}"#;
    let expected = [Some(context), Some(merged), None, None, Some(own.to_owned()), Some(own.to_owned())];
    assert_eq!(landed.text("context"), expected);
}

#[test]
fn test_rows_with_much_more_text_than_their_chunk_are_handed_on_in_parts() {
    let name = "n".repeat(100_000);
    let source = ORDERS.replace("properties = [\"quantity\"]", "");
    let header = format!("customer_id,purchased_on,amount,{name}\n");
    let landed = land(&source, format!("{header}{}", "1,1997-01-01,1,2\n".repeat(1000)));
    let summary = landed.outcome.as_ref().unwrap();
    assert_eq!((summary.rows, summary.bytes, landed.chunks), (1000, header.len() as u64 + 17_000, 2));
    let positions = landed.rows.column_by_name("position").unwrap().as_primitive::<Int64Type>();
    assert!(positions.values().iter().copied().eq(0..1000));
    // Equal rows are told apart across parts.
    let ids: std::collections::HashSet<_> = landed.text("event_id").into_iter().collect();
    assert_eq!(ids.len(), 1000);

    let call = r#"{"type":"page","userId":"u","timestamp":"2026-01-02T03:04:05Z"}"#;
    let (pad, calls) = ("x".repeat(500_000), vec![call; 300].join(","));
    let landed = land(WEB, format!(r#"{{"context":{{"pad":"{pad}"}},"batch":[{calls}]}}"#));
    assert_eq!((landed.rows.num_rows(), landed.chunks, landed.quarantined.num_rows()), (300, 3, 0));
}

#[test]
fn test_segment_cut_gzip_delivers_good_rows_then_fails() {
    let lines: String =
        (0..5000).map(|n| format!("{{\"type\":\"page\",\"userId\":\"u{n}\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"messageId\":\"m{n}\"}}\n")).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(lines.as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    assert_eq!(land(WEB, &whole).outcome.unwrap().rows, 5000);
    let cut = land(WEB, &whole[..whole.len() / 2]);
    let error = cut.outcome.as_ref().unwrap_err().to_string();
    assert!(cut.rows.num_rows() > 1000 && cut.quarantined.num_rows() == 0);
    assert!(error.contains(&format!("after line {}", cut.rows.num_rows())) && error.contains("whole copy"), "{error}");
}

#[test]
fn test_row_with_only_blocked_identifiers_is_quarantined() {
    let text = "{\"type\":\"page\",\"messageId\":\"1\",\"userId\":\"null\",\"timestamp\":\"2026-05-01T00:00:00Z\"}\n";
    let landed = land_input(WEB, "", stream(text), 1);
    assert_eq!((landed.rows.num_rows(), landed.quarantined.num_rows()), (0, 1));
}

#[test]
fn test_sink_error_stops_reading() {
    let endless = std::io::repeat(b'\n');
    let config = ProjectConfig::parse(
        &format!("version = 1\n[lake]\nurl = \"lake\"\n[[source]]\nname = \"s\"\n{WEB}"),
        "tessera.toml",
    )
    .unwrap();
    let input = Input::Reader { name: "endless".into(), reader: Box::new(endless) };
    let mut sink = |_| Err(EngineError::internal("enough"));
    let batch = BatchContext { landed_at_us: 0, identifiers: identifiers(&config) };
    let error = parse_input(input, &config.sources[0], &config, &batch, 2, &mut sink).unwrap_err();
    assert_eq!(error.to_string(), "enough");
}

/// Lines of many kinds, good and bad, of many lengths; some have no id, some of these are equal.
fn varied_lines(count: u64) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut text = String::new();
    for number in 0..count {
        let (user, filler) = (random(50), "z".repeat(random(700) as usize));
        let call = |id: &str| {
            format!(
                r#"{{"type":"track","event":"Viewed","userId":"u{user}","timestamp":"2026-01-02T03:04:05Z"{id},"properties":{{"x":"{filler}"}}}}"#
            )
        };
        let line = match random(12) {
            0 => "not json".to_owned(),
            1 => String::new(),
            2 => r#"{"type":"page","userId":"u","timestamp":"2026-01-02T03:04:05Z"}"#.to_owned(),
            3 => format!("{{\"batch\":[{},{{}},{}]}}", call(""), call(&format!(",\"messageId\":\"b{number}\""))),
            4 => format!("{}\r", call("")),
            _ => call(&format!(",\"messageId\":\"m{number}\"")),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[test]
fn test_parsing_with_any_number_of_threads_gives_the_same_rows() {
    let text = varied_lines(40_000);
    let one = land_input(WEB, "", stream(&text), 1);
    let four = land_input(WEB, "", stream(&text), 4);
    assert!(one.chunks > 3);
    assert_eq!(one.rows, four.rows);
    assert_eq!(one.quarantined, four.quarantined);
    assert_eq!(one.outcome.as_ref().unwrap(), four.outcome.as_ref().unwrap());
    let positions = one.rows.column_by_name("position").unwrap().as_primitive::<Int64Type>().values().to_vec();
    assert!(positions.iter().enumerate().all(|(index, position)| index as i64 == *position));
    let ids: std::collections::HashSet<_> = one.text("event_id").into_iter().collect();
    assert_eq!(ids.len(), positions.len());
}

#[test]
fn test_csv_whose_lines_end_as_on_old_macs_is_refused() {
    for text in ["customer_id,purchased_on\r1,1997-01-01\r", "customer_id,purchased_on\r1,1997-01-01\n2,1997-01-01\n"] {
        let landed = land(ORDERS, text);
        let message = landed.outcome.unwrap_err().to_string();
        assert!(message.contains("the header of `input` ends with a carriage return alone"), "{message}");
        assert_eq!(landed.chunks, 0);
    }
}

#[test]
fn test_salesforce_keys_are_one_in_both_spellings() {
    let source = CONTACTS.replace("crm_id =", "salesforce_id =");
    let text = "ContactId,Email,Phone,LastModifiedDate,IsDeleted\n0035g00000ABCDE,a@b.c,,,\n0035g00000ABCDEAA5,d@e.f,,,\nx,g@h.i,,,\n";
    assert_eq!(land(&source, text).text("record_key"), some(&["0035g00000ABCDEAA5", "0035g00000ABCDEAA5", "x"]));
    assert_eq!(land(CONTACTS, text).text("record_key")[0].as_deref(), Some("0035g00000ABCDE"));
}

#[test]
fn test_csv_decimal_commas() {
    let source = ORDERS.replace("\"USD\"", "\"code\"").replace("[\"quantity\"]", "[\"quantity\", \"note\"]");
    let source = format!("{source}decimal_sign = \",\"\n");
    let text = "customer_id;purchased_on;quantity;amount;code;note\n\
        1;1997-01-01;0,25;1.234,50;eur;1.2\n2;1997-01-01;1,5 kg;7;Euro;1,2,3\n3;1997-01-01;1;1,234.50;;\n";
    let landed = land(&source, text);
    let revenue = landed.rows.column_by_name("revenue").unwrap().as_primitive::<Decimal128Type>();
    assert_eq!(revenue.values().to_vec(), [12_345_000, 70_000]);
    let expected = [r#"{"quantity":"0.25","note":"1.2"}"#, r#"{"quantity":"1,5 kg","note":"1,2,3"}"#];
    assert_eq!(landed.text("properties"), some(&expected));
    assert_eq!(landed.text("currency"), some(&["EUR", "Euro"]));
    assert_eq!(landed.reasons(), [(4, "bad_number".to_owned())]);
    // A number of JSON has a point in any case.
    let rows = r#"{"customer_id":"1","purchased_on":"1997-01-01","amount":12.5}
        {"customer_id":"2","purchased_on":"1997-01-01","amount":"12,5"}"#;
    let landed = land(&source.replace("\"csv\"", "\"ndjson\""), rows);
    let revenue = landed.rows.column_by_name("revenue").unwrap().as_primitive::<Decimal128Type>();
    assert_eq!(revenue.values().to_vec(), [125_000, 125_000]);
}

#[test]
fn test_ndjson_lists_are_several_identifiers_and_objects_none() {
    let source = ORDERS.replace("\"csv\"", "\"ndjson\"");
    let text = r#"{"customer_id":["a"," b ","a",3,null],"purchased_on":"1997-01-01"}
        {"customer_id":{"id":"a"},"purchased_on":"1997-01-01"}
        {"customer_id":[["a"]],"purchased_on":"1997-01-01"}
        {"customer_id":[],"purchased_on":"1997-01-01"}"#;
    let landed = land(&source, text);
    let expected = [("customer_id", "a"), ("customer_id", "b"), ("customer_id", "3")];
    assert_eq!(landed.pairs("identifiers", 0), pairs(&expected));
    let expected = [(2, "bad_row"), (3, "bad_row"), (4, "no_identifier")];
    assert_eq!(landed.reasons(), expected.map(|(line, reason)| (line, reason.to_owned())));
}

#[test]
fn test_presets_read_the_next_name_where_a_cell_is_blank() {
    let source = "preset = \"shopify_orders\"";
    let land_order = |status: &str| {
        let text = format!(
            "Name,Email,Created at,Financial Status,Id\n\
            #1,a@b.c,2026-05-01 10:00:00 +0000,{status},\n#2,a@b.c,2026-05-01 10:00:00 +0000,{status},5002\n"
        );
        land(source, text).text("event_id")
    };
    assert_eq!(land_order("pending"), some(&["#1", "5002"]));
    assert_eq!(land_order("paid"), some(&["#1", "5002"]), "an order whose status changes counts once");
    // In whatever order the columns are.
    let text = "{\"Customer ID\":\"c2\",\"id\":\"c1\"}\n{\"id\":\"c1\",\"Customer ID\":\"c2\"}\n{\"id\":\" \",\"Customer ID\":\"c3\"}\n";
    let landed = land("preset = \"stripe_customers\"\nformat = \"ndjson\"", text);
    assert_eq!(landed.text("record_key"), some(&["c1", "c1", "c3"]));
}

#[test]
fn test_presets_take_off_the_apostrophes_of_spreadsheets() {
    let source = "preset = \"shopify_orders\"";
    let text = "Name,Email,Created at,Lineitem sku,Lineitem name,Billing Zip,Id\n\
        #1,a@b.c,2026-05-01 10:00:00 +0000,'00123,'t Hooft,'75008,1\n";
    let landed = land(source, text);
    let properties = landed.text("properties")[0].clone().unwrap();
    assert!(properties.contains(r#""Billing Zip":"75008""#), "{properties}");
    assert!(properties.contains(r#""sku":"00123""#) && properties.contains(r#""name":"'t Hooft""#), "{properties}");
}
