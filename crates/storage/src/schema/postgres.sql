-- What PostgreSQL knows about the tables of this service, one line an object. {tables} are their names, with commas.
WITH home AS (SELECT relnamespace AS oid FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass('organisation')),
relation AS (
    SELECT c.* FROM pg_catalog.pg_class c, home WHERE c.relnamespace = home.oid AND c.relname = ANY ('{{tables}}'::text[])
        AND c.relkind NOT IN ('i', 'I', 'S')
)
SELECT line FROM (
    SELECT 'table ' || relname || CASE WHEN relkind IN ('r', 'p') THEN '' ELSE ' kind ' || relkind::text END
        || CASE relpersistence WHEN 'p' THEN '' ELSE ' not durable' END
        || CASE WHEN relrowsecurity OR relforcerowsecurity THEN ' with row security' ELSE '' END AS line
    FROM relation
    UNION ALL
    SELECT 'column ' || c.relname || '.' || a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod)
        || coalesce((SELECT ' COLLATE ' || l.collname FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation AND l.collname <> 'default'), '')
        || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        || CASE WHEN a.attgenerated <> '' THEN ' GENERATED' ELSE '' END
        || coalesce(' DEFAULT ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid), '')
        || CASE WHEN a.attidentity <> '' THEN ' IDENTITY' ELSE '' END
    FROM relation c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
        LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relname <> 'seaql_migrations'
    UNION ALL
    SELECT 'constraint ' || c.relname || '.' || k.conname || ' ' || pg_catalog.pg_get_constraintdef(k.oid)
    FROM relation c JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid
    WHERE k.contype NOT IN ('n', 't') AND c.relname <> 'seaql_migrations'
    UNION ALL
    SELECT 'index ' || c.relname || '.' || i.relname || ' '
        || replace(pg_catalog.pg_get_indexdef(x.indexrelid), pg_catalog.quote_ident(n.nspname) || '.', '')
        || CASE WHEN x.indisvalid THEN '' ELSE ' (invalid)' END
    FROM relation c JOIN pg_catalog.pg_index x ON x.indrelid = c.oid JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname <> 'seaql_migrations'
    UNION ALL
    SELECT 'trigger ' || c.relname || '.' || t.tgname FROM relation c JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'rule ' || c.relname || '.' || r.rulename FROM relation c JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid
    WHERE r.rulename <> '_RETURN'
    UNION ALL
    SELECT 'policy ' || c.relname || '.' || p.polname FROM relation c JOIN pg_catalog.pg_policy p ON p.polrelid = c.oid
    UNION ALL
    SELECT 'child ' || c.relname || '.' || h.inhrelid::regclass::text FROM relation c JOIN pg_catalog.pg_inherits h ON h.inhparent = c.oid
    WHERE c.relkind <> 'p'
) AS described ORDER BY line COLLATE "C"
