//! The project files: `tessera.toml` and the segments.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Every project file by its path within the project.
const FILES: [(&str, &str); 6] = [
    ("tessera.toml", CONFIG),
    (
        "segments/big_spenders.sql",
        "-- title: Big spenders\n-- purpose: marketing\nlifetime_value >= 1000\nand event_count('Order Completed', within => interval '90 days') >= 2\n",
    ),
    (
        "segments/france_gone_quiet.sql",
        "-- title: Loyal customers in France who went quiet\n-- purpose: marketing\ncountry = 'FR' and lifetime_value >= 500\nand event_count('Order Completed', within => interval '90 days') >= 2\nand not did('Page Viewed', within => interval '14 days')\n",
    ),
    (
        "segments/left_at_checkout.sql",
        "-- title: Started a checkout this week and did not buy\n-- purpose: marketing\ndid('Checkout Started', within => interval '7 days')\nand not did('Order Completed', within => interval '7 days')\n",
    ),
    (
        "segments/first_order.sql",
        "-- title: Bought for the first time in the last month\n-- purpose: marketing\nevent_count('Order Completed') = 1\nand did('Order Completed', within => interval '30 days')\n",
    ),
    (
        "segments/spenders_in_trouble.sql",
        "-- title: Big spenders who opened a ticket: call them\n-- purpose: service\nin_segment('big_spenders')\nand did('Ticket Opened', within => interval '30 days')\n",
    ),
];

const CONFIG: &str = r#"# A shop with a web site, an app, six stores, a sales team and customer service.
version = 1

# Where the tables live: a folder of the project, or s3://bucket/prefix.
[lake]
url = "lake"

# --- What customers do -------------------------------------------------------------------------------------------------

# The web site sends Segment calls, one a line; a line may also be the body of a batch call.
[[source]]
name = "web"
format = "segment"
touchpoint = "web"
party = "first"

# The app does the same. Its calls carry the loyalty card as an external id.
[[source]]
name = "mobile"
format = "segment"
touchpoint = "mobile"
party = "first"

# The tills know a loyalty card or a telephone number. A row is an event.
[[source]]
name = "pos_orders"
format = "csv"
kind = "events"
touchpoint = "pos"
party = "first"
event = "Order Completed"
occurred_at = "purchased_at"
time_zone = "Europe/Paris"        # the tills write wall time
message_id = "receipt_no"         # a receipt that is sent twice counts once
identifiers = { loyalty_card = "loyalty_card", phone = "phone" }
revenue = "amount"
currency = "currency"             # the name of a column; without such a column, a currency code
properties = ["store", "items"]

# Customer service knows an e-mail address. The event's name is in a column.
[[source]]
name = "support_tickets"
format = "ndjson"
kind = "events"
touchpoint = "support"
party = "first"
event = { column = "action" }
occurred_at = "created_at"
message_id = "id"
identifiers = { email = "email" }

# --- What others know of customers -------------------------------------------------------------------------------------

# The sales team's contacts. A row is a record: the newest row of a key replaces what the earlier ones said.
[[source]]
name = "crm_contacts"
format = "csv"
touchpoint = "crm"
party = "first"
key = "ContactId"
updated_at = "LastModifiedDate"
deleted = "IsDeleted"
identifiers = { crm_id = "ContactId", email = "Email", phone = "Phone", loyalty_card = "LoyaltyCard" }
attributes = { first_name = "FirstName", last_name = "LastName", city = "MailingCity", country = "MailingCountry", lead_source = "LeadSource", email_opt_out = "HasOptedOutOfEmail" }

# A list that was bought: third-party data, to be told apart wherever it goes.
[[source]]
name = "partner_list"
format = "csv"
touchpoint = "partner"
party = "third"
key = "partner_ref"
updated_at = "collected_at"
identifiers = { email = "email" }
attributes = { first_name = "first_name", interest = "interest", age_band = "age_band", marketing_consent = "marketing_consent" }

# --- What stands where sources differ ----------------------------------------------------------------------------------

# Sales people type countries as they like; the shop knows codes. All become codes.
[[attribute]]
name = "country"
normalize = "country"

[[attribute]]
name = "email_opt_out"
normalize = "boolean"

# --- Who is who --------------------------------------------------------------------------------------------------------

[identity]
# The order is the priority, the most trusted first. `unique`: nobody has two of them.
namespaces = [
  { name = "crm_id", unique = true },
  { name = "user_id", unique = true },
  { name = "loyalty_card" },
  { name = "email", normalize = "email" },
  { name = "phone", normalize = "phone", region = "FR" },
  { name = "anonymous_id" },
]
# Values that are nobody's; the usual ones ("null", "anonymous", "test@test.com", ...) are blocked already.
blocked = ["kim@example.com"]
"#;

/// Writes the project files and says where.
pub(crate) fn write_project(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(directory.join("segments"))?;
    let mut paths = Vec::with_capacity(FILES.len());
    for (name, text) in FILES {
        let path = directory.join(name);
        fs::write(&path, text)?;
        paths.push(path);
    }
    Ok(paths)
}
