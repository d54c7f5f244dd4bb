-- As full.sql, but nobody has two of a unique namespace: the steps of sql/identity/.
create external table links stored as parquet location '{links}';

create table components as
    select namespace, value, component
    from connected_components((select a_namespace, a_value, b_namespace, b_value from links));

create table crowded as
    with limits as (
        select namespace, namespace_limit(namespace || ':') as values_max
        from (select distinct namespace from components)
    )

    select components.component
    from limits
    join components on components.namespace = limits.namespace
    where limits.values_max is not null
    group by components.component, limits.namespace
    having count(*) > min(limits.values_max);

create table crowd as
    select components.namespace, components.value, components.component
    from crowded
    join components on components.component = crowded.component;

-- Each link once, when it was last seen.
create table crowded_links as
    select links.b_namespace, links.b_value, links.a_namespace, links.a_value, max(links.seen_at) as seen_at
    from links
    left semi join crowd on links.a_value = crowd.value and links.a_namespace = crowd.namespace
    group by 1, 2, 3, 4;

create table replayed as
    select a, b, a_component, b_component
    from replay_links((
        select
            crowd.component as cluster,
            'seen' as kind,
            b_namespace || ':' || b_value || chr(31) || a_namespace || ':' || a_value as identifiers,
            arrow_cast(seen_at * 1000000, 'Timestamp(Microsecond, Some("UTC"))') as last_seen_at
        from crowded_links
        join crowd on crowd.namespace = crowded_links.a_namespace and crowd.value = crowded_links.a_value
    ));

create table laid as
    with ends as (
        select a as identifier, a_component as person from replayed
        union
        select b as identifier, b_component as person from replayed
    )

    select identifier_namespace(identifier) as namespace, identifier_value(identifier) as value, person from ends;

copy (
    select components.namespace, components.value, components.component as person
    from components
    left anti join crowded on crowded.component = components.component
    union all
    select namespace, value, person from laid
) to '{out}' stored as parquet options ('format.compression' 'zstd(1)', 'format.max_row_group_size' '131072', 'format.dictionary_enabled::value' 'false', 'format.dictionary_enabled::person' 'false');
