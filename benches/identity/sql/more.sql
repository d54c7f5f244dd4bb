-- What links that came later change: identifiers that are new, and those whose person is another one.
create external table people stored as parquet location '{people}';
create external table links stored as parquet location '{links}';

create table ends as
    select arrow_cast(a_namespace, 'Utf8View') as namespace, a_value as value from links
    union
    select arrow_cast(b_namespace, 'Utf8View') as namespace, b_value as value from links;

create table known as
    select ends.namespace, ends.value, people.person
    from ends
    left join people on people.namespace = ends.namespace and people.value = ends.value;

create table merged as
    select node, component
    from connected_components((
        select
            coalesce(a.person, a.namespace || ':' || a.value) as a,
            coalesce(b.person, b.namespace || ':' || b.value) as b
        from links
        join known a on a.namespace = links.a_namespace and a.value = links.a_value
        join known b on b.namespace = links.b_namespace and b.value = links.b_value
    ))
    where node <> component;

copy (
    select known.namespace, known.value, coalesce(merged.component, known.namespace || ':' || known.value) as person
    from known
    left join merged on merged.node = known.namespace || ':' || known.value
    where known.person is null
    union all
    select people.namespace, people.value, merged.component as person
    from merged
    join people on people.person = merged.node
) to '{out}' stored as parquet options ('format.compression' 'zstd(1)', 'format.max_row_group_size' '131072', 'format.dictionary_enabled::value' 'false', 'format.dictionary_enabled::person' 'false');
