-- As more.sql, with the graph of before in memory, as a server keeps it.
create external table links stored as parquet location '{links}';

copy (
    select namespace, value, component as person
    from moved_components((select a_namespace, a_value, b_namespace, b_value from links))
) to '{out}' stored as parquet options ('format.compression' 'zstd(1)', 'format.max_row_group_size' '131072', 'format.dictionary_enabled::value' 'false', 'format.dictionary_enabled::person' 'false');
