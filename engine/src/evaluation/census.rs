//! What is known of the profiles of a generation, read when it is first needed and kept for who needs it next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, interleave};
use arrow::datatypes::Int64Type;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::prelude::SessionContext;
use roaring::{MultiOps, RoaringBitmap};
use tokio::sync::OnceCell;

use super::breakdown;
use super::figures::{Figures, consent_column, list_column};
use super::kept::{Kept, listed};
use super::people::{NOBODY, People, Unordered};
use super::population::Population;
use super::read::{self, Wanted};
use super::scope::Scope;
use super::series::Series;
use super::types::day_of;
use crate::clock::Micros;
use crate::config::nearest::suggestion;
use crate::error::{EngineError, Result};
use crate::expression::{Expr, KnownNames, columns_used, lists_used, purposes_used};
use crate::query::functions::text;

/// By which profiles divide beside their columns: where they did something.
const TOUCHPOINT: &str = "touchpoint";
/// Each list with the identifiers on it that somebody has, and once with none.
const LISTED: &str = "
    select listed.list, identities.ordinal
    from segment.listed listed
    join identity.identities identities on identities.namespace = listed.namespace and identities.value = listed.value
    union all
    select list, cast(null as bigint) from segment.lists";

/// What is known of all profiles, or of those that a refresh touched.
pub(crate) struct Census {
    session: SessionContext,
    scope: Scope,
    as_of: Micros,
    people: OnceCell<Arc<People>>,
    /// Numbers under which `behavior.defined_measures` and `behavior.instants` hold what they do, by definition.
    kept: OnceCell<BTreeMap<String, i64>>,
    event_names: OnceCell<BTreeSet<String>>,
    /// Who did something at each touchpoint.
    touchpoints: OnceCell<BTreeMap<String, RoaringBitmap>>,
    /// Whose identifiers are on each list.
    lists: OnceCell<BTreeMap<String, RoaringBitmap>>,
    /// Who consented to each purpose.
    consents: OnceCell<BTreeMap<String, RoaringBitmap>>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Columns that were computed: nobody can read them.
    computed: BTreeMap<String, ArrayRef>,
    columns: BTreeMap<String, ArrayRef>,
    /// By what they are of, in words: an expression in here would make the compiler prove for minutes, for each caller anew,
    /// that a generation may be shared among threads.
    series: HashMap<String, (Wanted, Arc<Series>)>,
    held: Option<MemoryReservation>,
}

impl Known {
    /// Gives memory back to the pool.
    fn give_back(&self, bytes: usize) {
        if let Some(held) = &self.held {
            held.shrink(bytes.min(held.size()));
        }
    }
}

impl Census {
    /// One of the tables that `session` has, as of an instant. Nothing is read yet.
    pub(crate) fn new(session: &SessionContext, scope: Scope, as_of: Micros) -> Self {
        let session = session.clone();
        Self {
            session,
            scope,
            as_of,
            people: OnceCell::new(),
            kept: OnceCell::new(),
            event_names: OnceCell::new(),
            touchpoints: OnceCell::new(),
            lists: OnceCell::new(),
            consents: OnceCell::new(),
            known: Mutex::default(),
        }
    }

    /// The profiles.
    ///
    /// # Errors
    /// What reading them reports.
    pub(crate) async fn people(&self) -> Result<&Arc<People>> {
        let read = async || {
            let people = Arc::new(People::read(&self.session, self.scope).await?);
            self.hold(people.bytes())?;
            Ok(people)
        };
        self.people.get_or_try_init(read).await
    }

    /// Keeps a column that was computed, in the order of the people.
    ///
    /// # Errors
    /// Exhausted if there is no memory for it.
    pub(crate) fn keep(&self, column: &str, values: ArrayRef) -> Result<()> {
        self.hold(values.get_array_memory_size())?;
        self.known().computed.insert(column.to_owned(), values);
        Ok(())
    }

    /// Keeps columns as the last generation had them in `table`, but for those of whom `touched` has computed them anew.
    ///
    /// # Errors
    /// As [`Census::keep`]; what reading them reports.
    pub(crate) async fn keep_last(&self, table: &str, columns: &[String], touched: &Self) -> Result<()> {
        let people = self.people().await?;
        let mut places: Vec<(usize, usize)> = (0..people.len()).map(|row| (0, row)).collect();
        for (row, &ordinal) in touched.people().await?.ordinals().iter().enumerate() {
            if let Some(place) = places.get_mut(people.row_of(i64::from(ordinal)) as usize) {
                *place = (1, row);
            }
        }
        for (name, last) in people.ordered(Unordered::read(&self.session, table, columns).await?).await? {
            let now = touched.column(&name).await?;
            let last = cast(&last, now.data_type())?;
            self.keep(&name, interleave(&[&last, &now], &places)?)?;
        }
        Ok(())
    }

    /// Whether a column was computed.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.known().computed.contains_key(column)
    }

    /// Of whom it is.
    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// A column of `profile.profiles`, in the order of the people.
    ///
    /// # Errors
    /// What reading it reports.
    pub(crate) async fn column(&self, name: &str) -> Result<ArrayRef> {
        let columns = self.columns(BTreeSet::from([name.to_owned()])).await?;
        let found = columns.into_values().next();
        found.ok_or_else(|| EngineError::not_found(format!("profiles have no column `{name}`")))
    }

    /// How some profiles divide by a column of `profile.profiles`, or by [`TOUCHPOINT`]: each value with its number of
    /// profiles, the most frequent first.
    ///
    /// # Errors
    /// NotFound for a column that profiles have not; what reading it reports.
    pub(crate) async fn breakdown(&self, members: &RoaringBitmap, column: &str) -> Result<Vec<(Option<String>, u64)>> {
        let people = self.people().await?;
        if column == TOUCHPOINT {
            let touchpoints = self.touchpoints().await?.iter();
            let mut counts: Vec<_> =
                touchpoints.clone().map(|(name, of)| (Some(name.clone()), of.intersection_len(members))).collect();
            let nowhere = members - touchpoints.map(|(_, of)| of).union();
            counts.extend((!nowhere.is_empty()).then(|| (None, nowhere.len())));
            counts.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
            return Ok(counts);
        }
        let rows = members.iter().map(|ordinal| people.row_of(i64::from(ordinal))).filter(|&row| row != NOBODY);
        breakdown::counts(&self.column(column).await?, rows.collect())
    }

    /// The mean of a column of numbers of some profiles, `None` if there is no number; `None` for a column of something
    /// else.
    ///
    /// # Errors
    /// As [`Census::breakdown`].
    pub(crate) async fn mean(&self, members: &RoaringBitmap, column: &str) -> Result<Option<Option<f64>>> {
        if column == TOUCHPOINT {
            return Ok(None);
        }
        let (people, values) = (self.people().await?, self.column(column).await?);
        if !values.data_type().is_numeric() {
            return Ok(None);
        }
        let rows = members.iter().map(|ordinal| people.row_of(i64::from(ordinal))).filter(|&row| row != NOBODY);
        breakdown::mean(&values, rows.collect()).map(Some)
    }

    /// A column of numbers of some profiles, in their order: 1 and 0 for yes and no, days ago for times; `None` for a
    /// column of something else.
    ///
    /// # Errors
    /// As [`Census::breakdown`].
    pub(crate) async fn numbers(&self, members: &RoaringBitmap, column: &str) -> Result<Option<Vec<Option<f64>>>> {
        let (people, values) = (self.people().await?, self.column(column).await?);
        let rows = members.iter().map(|ordinal| people.row_of(i64::from(ordinal))).filter(|&row| row != NOBODY);
        breakdown::numbers(&values, rows.collect(), day_of(self.as_of))
    }

    /// The names of all events.
    ///
    /// # Errors
    /// What reading them reports.
    pub(crate) async fn event_names(&self) -> Result<&BTreeSet<String>> {
        let read = async || {
            let names = self.scope.measures(&self.session).await?.select_columns(&["event_name"])?.distinct()?;
            let mut known = BTreeSet::new();
            for batch in names.collect().await? {
                known.extend(text(batch.column(0))?.iter().flatten().map(str::to_owned));
            }
            Ok::<_, EngineError>(known)
        };
        self.event_names.get_or_try_init(read).await
    }

    /// Who did something where.
    async fn touchpoints(&self) -> Result<&BTreeMap<String, RoaringBitmap>> {
        let read = async || {
            let people = self.people().await?;
            let measures = self.scope.measures(&self.session).await?;
            let pairs = measures.select_columns(&["touchpoint", "ordinal"])?.distinct()?.collect().await?;
            let mut touchpoints: BTreeMap<String, RoaringBitmap> = BTreeMap::new();
            for batch in &pairs {
                let (names, ordinals) = (text(batch.column(0))?, batch.column(1).as_primitive::<Int64Type>());
                for (name, &identifier) in names.iter().flatten().zip(ordinals.values()) {
                    let profile = u32::try_from(identifier).ok().and_then(|identifier| people.profile_of(identifier));
                    let Some(profile) = profile else { continue };
                    match touchpoints.get_mut(name) {
                        Some(of) => of.insert(profile),
                        None => touchpoints.insert(name.to_owned(), RoaringBitmap::from([profile])).is_none(),
                    };
                }
            }
            self.hold(bytes_of(&touchpoints))?;
            Ok::<_, EngineError>(touchpoints)
        };
        self.touchpoints.get_or_try_init(read).await
    }

    /// The ids of some profiles, in their order.
    ///
    /// # Errors
    /// What reading them reports; Internal for an ordinal that is no profile's.
    pub(crate) async fn profile_ids(&self, ordinals: &[u32]) -> Result<Vec<String>> {
        if ordinals.is_empty() {
            return Ok(Vec::new());
        }
        let (people, ids) = (self.people().await?, text(&self.column("profile_id").await?)?);
        let id = |&ordinal: &u32| {
            let row = people.row_of(i64::from(ordinal)) as usize;
            let found = (row < ids.len()).then(|| ids.value(row).to_owned());
            found.ok_or_else(|| EngineError::internal("a member is no profile"))
        };
        ordinals.iter().map(id).collect()
    }

    /// The profiles, with what some expressions need of them.
    ///
    /// # Errors
    /// Exhausted if that does not fit into the memory for queries; what reading it reports.
    pub(crate) async fn population(&self, expressions: &[&Expr]) -> Result<Arc<Population>> {
        let started = Instant::now();
        let columns = expressions.iter().flat_map(|expression| columns_used(expression)).collect();
        let figures = Figures::of(expressions.iter().copied());
        let (people, columns, series) = tokio::try_join!(self.people(), self.columns(columns), self.series(&figures))?;
        let people = Arc::clone(people);
        tracing::debug!(read = ?started.elapsed(), "profiles are in memory");
        let sets = self.sets(expressions).await?;
        Ok(Arc::new(Population { session: self.session.clone(), as_of: self.as_of, people, columns, series, sets }))
    }

    /// The lists and the purposes of consent that there are, each if some expressions name any.
    ///
    /// # Errors
    /// What reading them reports.
    pub(crate) async fn known_names(&self, expressions: &[&Expr]) -> Result<KnownNames> {
        let mut known = KnownNames::default();
        if expressions.iter().any(|expression| !lists_used(expression).is_empty()) {
            known.lists = Some(self.lists().await?.keys().cloned().collect());
        }
        if expressions.iter().any(|expression| !purposes_used(expression).is_empty()) {
            known.purposes = Some(self.consents().await?.keys().cloned().collect());
        }
        Ok(known)
    }

    async fn lists(&self) -> Result<&BTreeMap<String, RoaringBitmap>> {
        self.lists.get_or_try_init(async || self.read_sets(LISTED).await).await
    }

    async fn consents(&self) -> Result<&BTreeMap<String, RoaringBitmap>> {
        let query = self.scope.consented();
        self.consents.get_or_try_init(async || self.read_sets(&query).await).await
    }

    /// Sets of profiles that some expressions need, by the columns that tell who is in them.
    async fn sets(&self, expressions: &[&Expr]) -> Result<BTreeMap<String, RoaringBitmap>> {
        let mut sets = BTreeMap::new();
        for list in expressions.iter().flat_map(|expression| lists_used(expression)) {
            sets.insert(list_column(&list), known("list", &list, self.lists().await?)?);
        }
        for purpose in expressions.iter().flat_map(|expression| purposes_used(expression)) {
            let consents = self.consents().await?;
            sets.insert(consent_column(&purpose), known("purpose of consent", &purpose, consents)?);
        }
        Ok(sets)
    }

    /// Sets of profiles by name. `query` gives a row `(name, ordinal)` for an identifier of each member, and one without an
    /// ordinal for each set that may be empty.
    async fn read_sets(&self, query: &str) -> Result<BTreeMap<String, RoaringBitmap>> {
        let people = self.people().await?;
        let mut sets: BTreeMap<String, RoaringBitmap> = BTreeMap::new();
        for batch in self.session.sql(query).await?.collect().await? {
            let (names, ordinals) = (text(batch.column(0))?, batch.column(1).as_primitive::<Int64Type>());
            for (row, name) in names.iter().enumerate() {
                let Some(name) = name else { continue };
                let ordinal = ordinals.is_valid(row).then(|| u32::try_from(ordinals.value(row)).ok()).flatten();
                let profile = ordinal.and_then(|identifier| people.bit_of_profile(identifier));
                match sets.get_mut(name) {
                    Some(set) => set.extend(profile),
                    None => drop(sets.insert(name.to_owned(), profile.into_iter().collect())),
                }
            }
        }
        self.hold(bytes_of(&sets))?;
        Ok(sets)
    }

    async fn columns(&self, mut wanted: BTreeSet<String>) -> Result<BTreeMap<String, ArrayRef>> {
        let mut columns = BTreeMap::new();
        {
            let known = self.known();
            let found = |name: &String| known.computed.get(name).or_else(|| known.columns.get(name)).map(Arc::clone);
            columns.extend(wanted.iter().filter_map(|name| Some((name.clone(), found(name)?))));
        }
        wanted.retain(|name| !columns.contains_key(name));
        for table in self.scope.persons() {
            if wanted.is_empty() {
                break;
            }
            let provider = self.session.table(table).await?;
            let is_here = |name: &String| provider.schema().fields().iter().any(|field| field.name() == name);
            let here: Vec<String> = wanted.iter().filter(|name| is_here(name)).cloned().collect();
            wanted.retain(|name| !here.contains(name));
            if here.is_empty() {
                continue;
            }
            let (people, unordered) = tokio::try_join!(self.people(), Unordered::read(&self.session, table, &here))?;
            for (name, values) in people.ordered(unordered).await? {
                self.hold(values.get_array_memory_size())?;
                let mut known = self.known();
                // Somebody else may have read it at the same time.
                if let Some(replaced) = known.columns.insert(name.clone(), Arc::clone(&values)) {
                    known.give_back(replaced.get_array_memory_size());
                }
                columns.insert(name, values);
            }
        }
        Ok(columns)
    }

    async fn series(&self, figures: &Figures) -> Result<HashMap<Kept, Arc<Series>>> {
        let mut wanted = read::wanted(figures, day_of(self.as_of));
        let mut series = HashMap::new();
        {
            let known = self.known();
            for (of, wanted) in &mut wanted {
                if let Some((read, known)) = known.series.get(&of.definition()) {
                    if read.covers(wanted) {
                        series.insert(of.clone(), Arc::clone(known));
                    } else {
                        *wanted = wanted.or(*read);
                    }
                }
            }
        }
        wanted.retain(|of, _| !series.contains_key(of));
        if wanted.is_empty() {
            return Ok(series);
        }
        let kept = self.kept.get_or_try_init(async || listed(&self.session).await).await?;
        let read = read::series(&self.session, self.scope, wanted.clone(), kept, self.people().await?).await?;
        for (of, read) in read {
            self.hold(read.bytes())?;
            let read = Arc::new(read);
            if let Some(wanted) = wanted.get(&of) {
                let mut known = self.known();
                // One with less of it, or somebody else's who read it at the same time.
                if let Some((_, replaced)) = known.series.insert(of.definition(), (*wanted, Arc::clone(&read))) {
                    known.give_back(replaced.bytes());
                }
            }
            series.insert(of, read);
        }
        Ok(series)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back the memory of what can be read again.
    pub(crate) fn forget(&self) {
        self.forget_read(&mut self.known());
    }

    fn forget_read(&self, known: &mut Known) {
        (known.columns, known.series) = Default::default();
        let computed: usize = known.computed.values().map(|values| values.get_array_memory_size()).sum();
        let people = self.people.get().map_or(0, |people| people.bytes());
        let sets = [&self.touchpoints, &self.lists, &self.consents].map(|sets| sets.get().map_or(0, bytes_of));
        if let Some(held) = &known.held {
            held.shrink(held.size().saturating_sub(computed + people + sets.into_iter().sum::<usize>()));
        }
    }

    /// Takes memory of the pool. If there is not enough, what can be read again makes room: it is forgotten.
    fn hold(&self, bytes: usize) -> Result<()> {
        let mut known = self.known();
        let pool = &self.session.runtime_env().memory_pool;
        let held = known.held.get_or_insert_with(|| MemoryConsumer::new("profiles in memory").register(pool));
        if held.try_grow(bytes).is_ok() {
            return Ok(());
        }
        self.forget_read(&mut known);
        match &known.held {
            Some(held) => Ok(held.try_grow(bytes)?),
            None => Ok(()),
        }
    }
}

/// Bytes that sets take in memory, about.
fn bytes_of(sets: &BTreeMap<String, RoaringBitmap>) -> usize {
    sets.values().map(RoaringBitmap::serialized_size).sum()
}

fn known(what: &str, name: &str, sets: &BTreeMap<String, RoaringBitmap>) -> Result<RoaringBitmap> {
    sets.get(name).cloned().ok_or_else(|| {
        let hint = suggestion(name, sets.keys().map(String::as_str));
        EngineError::invalid(format!("there is no {what} `{name}`; {hint}"))
    })
}
