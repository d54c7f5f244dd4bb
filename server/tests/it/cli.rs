//! The command line: what it prints, what it refuses, and its exit codes.

use crate::project::Project;

const CONFIG: &str = r#"
version = 1
[[source]]
name = "till"
format = "csv"
kind = "events"
touchpoint = "pos"
event = "Order Completed"
occurred_at = "at"
identifiers = { email = "email", customer_id = "customer" }
revenue = "amount"
[identity]
namespaces = [{ name = "customer_id" }, { name = "email", normalize = "email" }]
"#;

fn project_with_orders() -> Project {
    let project = Project::new(CONFIG);
    project.write(
        "a.csv",
        "customer,email,at,amount\n1,Ada@Example.com,2026-05-01,10.50\n2,bob@example.com,yesterday,1\n",
    );
    project.write("segments/buyers.sql", "-- title: Buyers\ndid('Order Completed')\n");
    project
}

#[test]
fn test_a_first_project_from_landing_to_segment() {
    let project = project_with_orders();
    let landed = project.ok(&["ingest", "--source", "till", "a.csv"]);
    assert!(landed.contains("a.csv: 1 rows landed, 1 quarantined") && landed.contains("1 bad_time"), "{landed}");
    let query = landed.split_once("see: tessera --project . sql \"").unwrap().1.split_once('"').unwrap().0.to_owned();
    assert!(project.ok(&["ingest", "--source", "till", "a.csv"]).contains("landed before, nothing added"));
    assert!(project.ok(&["refresh"]).contains("generation 1 published (full"));
    assert_eq!(project.rows("select line, reason from landing.quarantine"), ["3,bad_time"]);
    assert!(project.rows(&query)[0].starts_with("3,bad_time"), "the query that was told: {query}");

    let json = project.ok(&["sql", "select order_count, lifetime_value from profile.profiles", "--format", "json"]);
    assert_eq!(json.trim(), r#"[{"order_count":1,"lifetime_value":10.5000}]"#);
    let ndjson = project.ok(&["sql", "select 1 as a union all select 2 order by a", "--format", "ndjson"]);
    assert_eq!(ndjson, "{\"a\":1}\n{\"a\":2}\n");
    assert!(project.ok(&["sql", "select 1 as a where false"]).contains("0 rows"));
    let long = project.ok(&["sql", "select value, 'a' || chr(10) || 'b' as text from generate_series(1, 20000)"]);
    assert_eq!(long.lines().filter(|line| line.contains("value")).count(), 1, "one table has one header");
    assert!(long.contains("| 20000 | a\\nb |") && long.ends_with("20000 rows\n"));
    let lists = project.ok(&["sql", "select make_array('x, y', 'z') as names", "--format", "csv"]);
    assert_eq!(lists, "names\n\"[\"\"x, y\"\",\"\"z\"\"]\"\n");

    let person = project.ok(&["profile", "email:ADA@example.com"]);
    assert!(person.starts_with("Generation 1\n"), "{person}");
    assert!(person.contains("order_count          1") && person.contains("customer_id:1"), "{person}");
    assert!(project.ok(&["segment", "list"]).contains("| buyers  | Buyers | 1    |"));
    assert!(project.ok(&["segment", "members", "buyers"]).contains("1 row"));
    assert!(project.ok(&["segment", "show", "buyers"]).contains("entered"));
    assert!(project.ok(&["segment", "compare", "buyers", "buyers"]).contains("both"));
    assert!(project.ok(&["check"]).starts_with("ok"));
    assert!(
        project.rows("select name, state, rows from ops.refreshes where name = 'staging.events'")[0]
            .starts_with("staging.events,published,1")
    );
}

#[test]
fn test_what_landed_before_an_input_that_fails_is_told() {
    let project = project_with_orders();
    project.write("b.csv", "customer,email,amount\n3,eve@example.com,2\n");
    project.write("c.csv", "customer,email,at,amount\n4,dan@example.com,2026-05-02,2\n");
    let output = project.run(&["ingest", "--source", "till", "a.csv", "b.csv", "c.csv"]);
    let (said, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(said.contains("a.csv: 1 rows landed, 1 quarantined") && said.contains("1 bad_time"), "{said}");
    assert!(!said.contains("c.csv"), "{said}");
    assert!(error.starts_with("error: `b.csv` did not land") && error.contains("no column `at`"), "{error}");
    assert!(error.contains("2 of 3 files did not land: b.csv, c.csv; mend the first"), "{error}");
    let many = ["ingest", "--source", "till", "b.csv", "c.csv", "d.csv", "e.csv", "f.csv", "g.csv", "h.csv"];
    let error = project.fails(&many);
    assert!(error.contains("7 of 7 files did not land: b.csv, c.csv, d.csv, e.csv, f.csv and 2 more;"), "{error}");
    assert!(!project.fails(&many[..4]).contains("files did not land"), "one that fails alone is named already");
    let files = std::fs::read_dir(project.path().join("lake/landing/events")).unwrap();
    let files = files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "parquet"));
    assert_eq!(files.count(), 1, "what was written beside it is gone");
    assert!(project.ok(&["ingest", "--source", "till", "c.csv"]).contains("c.csv: 1 rows landed"));
}

#[test]
fn test_an_earlier_generation_can_be_read() {
    let project = project_with_orders();
    project.ok(&["ingest", "--source", "till", "a.csv"]);
    project.ok(&["refresh"]);
    project.write("b.csv", "customer,email,at,amount\n3,eve@example.com,2026-05-02,2\n");
    project.ok(&["ingest", "--source", "till", "b.csv"]);
    project.ok(&["refresh"]);
    let count = ["sql", "select count(*) as n from profile.profiles", "--format", "csv", "--as-of"];
    assert_eq!(project.ok(&[&count[..], &["1"]].concat()), "n\n1\n");
    assert_eq!(project.ok(&[&count[..], &["2"]].concat()), "n\n2\n");
    let person = ["profile", "email:ada@example.com"];
    assert!(project.ok(&person).starts_with("Generation 2\n"));
    assert!(project.ok(&[&person[..], &["--as-of", "1"]].concat()).starts_with("Generation 1\n"));
    assert!(
        project.fails(&[&count[..], &["7"]].concat()).contains("generation 7 does not exist: the lake holds 1 to 2")
    );
}

#[test]
fn test_mistakes_are_told_with_their_place_and_remedy() {
    let project = project_with_orders();
    let early = "nothing has been refreshed yet";
    let cases: [(&[&str], &str); 10] = [
        (&["sql", "select * from profile.profiles"], early),
        (&["segment", "list"], early),
        (&["ingest", "--source", "tills", "a.csv"], "no source `tills` (did you mean `till`?)"),
        (&["ingest", "--source", "till", "missing.csv"], "missing.csv"),
        (&["sql", "drop table x"], "not"),
        (&["profile", "nobody"], "write namespace:value"),
        (&["segment", "size", "none"], early),
        (&["profile", "email:ada@example.com"], "nothing is published to look into"),
        (&["profile", "email:ada@example.com", "--why", "email:bob@example.com"], "nothing is published to look into"),
        (&["--project", "elsewhere", "check"], "there is no tessera.toml in `elsewhere`"),
    ];
    for (arguments, expected) in cases {
        let error = project.fails(arguments);
        assert!(error.starts_with("error: ") && error.contains(expected), "{arguments:?}: {error}");
        assert!(!error.contains("planning"), "{arguments:?}: {error}");
    }
    project.write("models/behavior/mine.sql", "select profle_id from profile.profiles\n");
    let error = project.fails(&["check"]);
    assert!(error.contains("models/behavior/mine.sql:1") && error.contains("profle_id"), "{error}");
    project.write("models/behavior/mine.sql", "select 1 as one\nfrom profile.profile\n");
    let error = project.fails(&["check"]);
    assert!(
        error.contains("models/behavior/mine.sql:2") && error.contains("did you mean `profile.profiles`?"),
        "{error}"
    );
    project.write("tessera.toml", CONFIG.replace("revenue =", "revenu ="));
    let error = project.fails(&["check"]);
    assert!(error.contains("tessera.toml:11:") && error.contains("`revenue`"), "{error}");
}

#[test]
fn test_a_saved_segment_is_changed_and_deleted() {
    let project = project_with_orders();
    project.ok(&["ingest", "--source", "till", "a.csv"]);
    project.ok(&["refresh"]);
    project.ok(&["segment", "create", "paid", "lifetime_value > 5", "--title", "Who paid", "--by", "ada"]);
    let words = "select title, description, expression from segment.segments where segment = 'paid'";
    project.ok(&["segment", "update", "paid", "--title", "", "--description", "Anything", "--by", "ada"]);
    project.ok(&["refresh"]);
    assert_eq!(project.rows(words), [",Anything,lifetime_value > 5"]);
    let nothing = project.fails(&["segment", "update", "paid", "--by", "ada"]);
    assert!(nothing.contains("--expression") && nothing.contains("--title"), "{nothing}");

    project.ok(&["segment", "delete", "paid", "--by", "ben"]);
    project.ok(&["refresh"]);
    let changes = project.ok(&["segment", "changes", "paid", "--format", "csv"]);
    assert!(
        changes.contains("\n2,")
            && changes.contains("\n3,")
            && changes.contains(",entered,")
            && changes.contains(",left,"),
        "{changes}"
    );
    assert!(project.fails(&["segment", "members", "paid"]).contains("there is no segment `paid`"));
    assert!(project.fails(&["segment", "changes", "payed"]).contains("no generation had a segment `payed`"));
}

#[test]
fn test_a_check_reads_traits_and_segments_as_the_next_refresh_will() {
    let project = project_with_orders();
    project.ok(&["ingest", "--source", "till", "a.csv"]);
    project.ok(&["refresh"]);
    project.write("traits/spent.sql", "event_sum('Order Completed', revenue)\n");
    project.write("segments/spenders.sql", "spent > 10\n");
    project.ok(&["check"]);
    project.ok(&["refresh"]);
    std::fs::remove_file(project.path().join("traits/spent.sql")).unwrap();
    let error = project.fails(&["check"]);
    assert!(error.contains("segments/spenders.sql:1:1: there is no column `spent`"), "{error}");
    for (condition, expected) in [
        ("in_list('vips')", ["segments/spenders.sql:1:1: there is no list `vips`"].as_slice()),
        (
            "did('Buy') and\n in_segment('zz') and consented('emial')\nand in_list('l')",
            &[
                "segments/spenders.sql:2:2: there is no segment `zz`",
                "segments/spenders.sql:2:23: there is no purpose of consent `emial`; did you mean `email`?",
                "segments/spenders.sql:3:5: there is no list `l`",
            ],
        ),
    ] {
        project.write("segments/spenders.sql", condition);
        for error in [project.fails(&["check"]), project.fails(&["refresh"])] {
            assert!(expected.iter().all(|line| error.contains(line)), "{error}");
        }
        let error = project.fails(&["segment", "estimate", condition]);
        let is_told = |line: &&str| error.contains(&line.replace("segments/spenders.sql", "the expression"));
        assert!(expected.iter().all(is_told), "{error}");
    }
    // A list that is wrong is told beside them, whatever the case of its ending.
    project.write("segments/spenders.sql", "in_segment('zz')");
    project.write("lists/vips.CSV", "email\n\"ada@example.com\nbob@example.com\n");
    let error = project.fails(&["check"]);
    let expected = ["segments/spenders.sql:1:1: there is no segment `zz`", "lists/vips.CSV:2: a quote opens here"];
    assert!(expected.iter().all(|line| error.contains(line)), "{error}");
    project.write("lists/vips.CSV", "email\nada@example.com\n");
    project.write("segments/spenders.sql", "in_list('vips')");
    project.ok(&["check"]);
    std::fs::copy(project.path().join("lists/vips.CSV"), project.path().join("lists/vips.csv")).unwrap();
    assert!(project.fails(&["check"]).contains("are both the list `vips`; rename one of them"));
    std::fs::remove_file(project.path().join("lists/vips.csv")).unwrap();
    project.write("segments/spenders.sql", "revenue > 10\n");
    project.write("traits/ordinal.sql", "event_count('Order Completed')\n");
    let error = project.fails(&["check"]);
    assert!(error.contains("traits/ordinal.sql: profiles have a column `ordinal` already; rename the file"), "{error}");
}

#[test]
fn test_a_model_of_the_project_adds_a_table_and_replaces_a_built_in_one() {
    let project = project_with_orders();
    project.write(
        "models/behavior/big_orders.sql",
        "select profile_id, revenue from behavior.events where revenue > 10\n",
    );
    project.write(
        "models/behavior/trends.sql",
        "-- Only the number of days.\nselect count(distinct date) as days from behavior.daily_activity\n",
    );
    project.ok(&["ingest", "--source", "till", "a.csv"]);
    project.ok(&["check"]);
    project.ok(&["refresh"]);
    assert_eq!(project.rows("select count(*) from behavior.big_orders"), ["1"]);
    assert_eq!(project.rows("select * from behavior.trends"), ["1"]);
}

#[test]
fn test_a_failed_refresh_leaves_the_last_generation_and_is_recorded() {
    let project = project_with_orders();
    project.ok(&["ingest", "--source", "till", "a.csv"]);
    project.ok(&["refresh"]);
    project.write(
        "models/behavior/wrong.sql",
        "select cast(value as bigint) as number from identity.identities where namespace = 'email'\n",
    );
    let error = project.fails(&["refresh"]);
    assert!(error.contains("models/behavior/wrong.sql"), "{error}");
    assert_eq!(project.rows("select count(*) from profile.profiles"), ["1"]);
    assert_eq!(project.rows("select count(*) from ops.refreshes where state = 'failed' and name is null"), ["1"]);
    std::fs::remove_file(project.path().join("models/behavior/wrong.sql")).unwrap();
    assert!(project.ok(&["refresh"]).contains("generation 2 published"));
}

#[test]
fn test_init_leaves_what_is_there() {
    let project = Project::new(CONFIG);
    let segment = project.path().join("segments/recent_buyers.sql");
    let error = project.fails(&["init", "."]);
    assert!(error.contains("tessera.toml` exists already") && !segment.exists(), "{error}");

    std::fs::remove_file(project.path().join("tessera.toml")).unwrap();
    project.write("segments/recent_buyers.sql", "order_count > 3\n");
    let said = project.ok(&["init", "."]);
    assert!(said.contains("stays as it is: ./segments/recent_buyers.sql"), "{said}");
    assert!(said.contains("made ./tessera.toml"), "{said}");
    assert_eq!(std::fs::read_to_string(&segment).unwrap(), "order_count > 3\n");
    project.ok(&["check"]);
}

#[test]
fn test_definitions_of_segments_are_written_when_they_change() {
    let project = project_with_orders();
    project.ok(&["ingest", "--source", "till", "a.csv"]);
    let are_written = || project.ok(&["refresh"]).contains("segment.segments ");
    let titles = || project.rows("select coalesce(title, 'none') from segment.segments");
    assert!(are_written());
    assert!(!are_written(), "nothing changed");
    for (text, expected) in
        [("-- title: Customers\ndid('Order Completed')\n", "Customers"), ("did('Order Completed')\n", "none")]
    {
        project.write("segments/buyers.sql", text);
        assert!(are_written(), "{text}");
        assert_eq!(titles(), [expected]);
        assert!(!are_written(), "{text}");
    }
    std::fs::remove_file(project.path().join("segments/buyers.sql")).unwrap();
    assert!(are_written());
    assert_eq!(titles(), [""; 0]);
}

#[test]
fn test_log_filters_that_cannot_be_read_are_refused() {
    let project = project_with_orders();
    let run = |command: &str, filters: &str| project.command(&[command]).env("TESSERA_LOG", filters).output().unwrap();
    for command in ["check", "serve"] {
        let refused = run(command, "tessera=loud");
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{error}");
        assert!(error.starts_with("error: TESSERA_LOG is `tessera=loud`: "), "{error}");
        assert!(error.contains("; write a level, such as `debug`"), "{error}");
    }
    assert!(String::from_utf8(run("check", "inof").stderr).unwrap().starts_with("error: TESSERA_LOG is `inof`: "));
    for filters in ["", "debug", "warn,tessera_engine=debug"] {
        assert!(run("check", filters).status.success(), "{filters}");
    }
    let lines = String::from_utf8(run("refresh", "tessera_engine=debug").stderr).unwrap();
    assert!(lines.contains("DEBUG"), "{lines}");
    assert!(!lines.contains('\x1b'), "colours are for terminals: {lines}");
    // Libraries log queries, with the values in them.
    let query = ["sql", "select 'ada@example.com' as email"];
    let queried = project.command(&query).env("TESSERA_LOG", "debug").output().unwrap();
    assert!(queried.status.success());
    assert!(!String::from_utf8(queried.stderr).unwrap().contains("ada@example.com"));
}

#[cfg(unix)]
#[test]
fn test_variables_that_are_not_unicode_do_no_harm() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let project = project_with_orders();
    let odd = OsStr::from_bytes(b"\xff");
    let checked = project.command(&["check"]).env("ODD", odd).env("AWS_ODD", odd).env(odd, "odd").output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn test_a_file_is_of_the_kind_that_its_name_says() {
    let project = project_with_orders();
    project.ok(&["ingest", "--source", "till", "a.csv"]);
    project.ok(&["refresh"]);
    let export = ["segment", "export", "buyers", "--columns", "order_count"];
    let read = |file: &str| std::fs::read(project.path().join(file)).unwrap();
    for (more, begins) in [
        (["--to", "plain.csv"].as_slice(), "order_count\n1"),
        (&["--to", "plain.ndjson"], "{\"order_count\":1"),
        (&["--to", "plain.PARQUET"], "PAR1"),
        (&["--to", "plain.txt"], "order_count\n1"),
        (&["--to", "asked.txt", "--format", "parquet"], "PAR1"),
        (&["--to", "asked.ndjson", "--format", "ndjson"], "{\"order_count\":1"),
    ] {
        project.ok(&[&export[..], more].concat());
        assert!(
            read(more[1]).starts_with(begins.as_bytes()),
            "{more:?}: {:?}",
            String::from_utf8_lossy(&read(more[1]))
        );
    }
    for (file, format) in [("other.csv", "parquet"), ("other.parquet", "csv"), ("other.ndjson", "csv")] {
        let error = project.fails(&[&export[..], &["--to", file, "--format", format]].concat());
        assert!(error.contains(&format!("--format and the ending of `{file}` say different kinds")), "{error}");
        assert!(!project.path().join(file).exists(), "{file}");
    }
}

#[test]
fn test_a_demo_is_of_a_size_that_works_in_the_folder_that_is_named() {
    let project = Project::new(CONFIG);
    let made = project.path().join("shop");
    for (option, value, range) in [
        ("--people", "0", "from 100 to 10000000"),
        ("--people", "10000000000", "from 100 to 10000000"),
        ("--events", "1", "from 1000 to 1000000000"),
        ("--events", "1000000001", "from 1000 to 1000000000"),
    ] {
        let error = project.fails(&["demo", "shop", option, value, "--exit"]);
        assert!(error.contains(option) && error.contains(range), "{error}");
        assert!(!made.exists(), "{option} {value}");
    }
    for command in [["demo", "elsewhere", "--project", "shop"], ["init", "elsewhere", "--project", "shop"]] {
        let error = project.fails(&command);
        assert!(error.contains("`--project shop` and `elsewhere` are two folders"), "{error}");
        assert!(!made.exists() && !project.path().join("elsewhere").exists(), "{command:?}");
    }
    project.ok(&["demo", "--project", "shop", "--people", "100", "--events", "1000", "--exit"]);
    assert!(made.join("tessera.toml").exists() && !project.path().join("tessera-demo").exists());
    project.ok(&["--project", "fresh", "init", "fresh"]);
}

#[test]
fn test_whoever_changes_something_is_somebody() {
    let project = project_with_orders();
    project.ok(&["ingest", "--source", "till", "a.csv"]);
    project.ok(&["refresh"]);
    let nameless = |arguments: &[&str], user: &str| {
        let output = project.command(arguments).env("USER", user).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("--by") && error.contains("USER"), "{arguments:?}: {error}");
    };
    let personas = ["segment", "personas", "--traits", "order_count", "--save", "kind"];
    for arguments in [
        ["segment", "create", "paid", "order_count > 0"].as_slice(),
        &["segment", "delete", "paid"],
        &["segment", "delete-list", "vip"],
        &personas,
    ] {
        nameless(arguments, "");
        nameless(&[arguments, &["--by", " "]].concat(), "ada");
    }
    let unset = project.command(&personas).env_remove("USER").output().unwrap();
    assert!(String::from_utf8(unset.stderr).unwrap().contains("give --by a name, or USER"));
    // A prefix that no name begins with is told before anything is computed, too.
    let wrong = ["segment", "personas", "--traits", "order_count", "--save", "Of Kind", "--by", "ada"];
    assert!(project.fails(&wrong).contains("Of Kind-1"));
}

#[test]
fn test_a_number_that_is_wrong_is_told_as_one() {
    let project = Project::new(CONFIG);
    for arguments in [
        ["segment", "members", "buyers", "--limit", "-2"].as_slice(),
        &["identity", "report", "--limit", "-2"],
        &["sql", "select 1", "--as-of", "-1"],
        &["profile", "email:ada@example.com", "--as-of", "-1"],
        &["segment", "changes", "buyers", "--after", "-1"],
        &["segment", "personas", "--traits", "order_count", "--count", "-3"],
    ] {
        let error = project.fails(arguments);
        assert!(error.contains("write a whole number that is not negative") && !error.contains("tip:"), "{error}");
    }
    let error = project.fails(&["demo", "shop", "--people", "-5"]);
    assert!(error.contains("invalid value '-5' for '--people") && error.contains("from 100 to 10000000"), "{error}");
    let error = project.fails(&["serve", "--address", "foo"]);
    assert!(
        error.starts_with("error: `foo` is no address to listen on (") && error.trim_end().ends_with(":50051"),
        "{error}"
    );
}
