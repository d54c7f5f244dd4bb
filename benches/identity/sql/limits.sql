-- As full.sql, but nobody has two of a unique namespace: what sql/identity/ does, in fewer steps.
create external table links stored as parquet location '{links}';

create table components as
    select namespace, value, component, is_crowded
    from connected_components((select a_namespace, a_value, b_namespace, b_value from links));

create table crowd as
    select namespace, value, component from components where is_crowded;

-- Each link once, when it was last seen. What has a value of the crowd's in another namespace goes when clusters are joined.
-- Namespaces as texts, for dictionaries are compared and grouped more slowly.
create table crowded_links as
    select
        arrow_cast(b_namespace, 'Utf8View') as b_namespace,
        b_value,
        arrow_cast(a_namespace, 'Utf8View') as a_namespace,
        a_value,
        max(seen_at) as seen_at
    from links
    left semi join crowd on crowd.value = links.a_value
    group by 1, 2, 3, 4;

-- The links are laid again while the components without a conflict are written.
copy (
    with ends as (
        select distinct laid_end['identifier'] as identifier, laid_end['person'] as person
        from (
            select unnest(make_array(
                named_struct('identifier', a, 'person', a_component),
                named_struct('identifier', b, 'person', b_component)
            )) as laid_end
            from replay_links((
                select
                    crowd.component as cluster,
                    'seen' as kind,
                    b_namespace || ':' || b_value || chr(31) || a_namespace || ':' || a_value as identifiers,
                    arrow_cast(seen_at * 1000000, 'Timestamp(Microsecond, Some("UTC"))') as last_seen_at
                from crowded_links
                join crowd on crowd.namespace = crowded_links.a_namespace and crowd.value = crowded_links.a_value
            ))
        )
    )

    select namespace, value, component as person from components where not is_crowded
    union all
    select identifier_namespace(identifier) as namespace, identifier_value(identifier) as value, person from ends
) to '{out}' stored as parquet options ('format.compression' 'zstd(1)', 'format.max_row_group_size' '131072', 'format.dictionary_enabled::value' 'false', 'format.dictionary_enabled::person' 'false');
