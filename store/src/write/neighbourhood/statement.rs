//! Statements over lists of keys, in few shapes: arrays on PostgreSQL; on SQLite lists filled up to a power of two.

use sea_orm::sea_query::{ArrayType, Value};
use sea_orm::{DbBackend, Statement};

use super::KEYS;

/// A statement with a table of rows of `N` integers where `{keys}` stands in it, to be joined as `k(a, b, …)`.
pub(crate) fn keyed<const N: usize>(db: DbBackend, text: &str, keys: &[[i64; N]]) -> Statement {
    if db == DbBackend::Postgres {
        let arrays = (1..=N).map(|number| format!("${number}::bigint[]"));
        let table = format!("SELECT * FROM UNNEST({})", arrays.collect::<Vec<_>>().join(", "));
        let column = |at: usize| keys.iter().filter_map(move |key| key.get(at).copied());
        let values = (0..N).map(|at| {
            let array = column(at).map(|key| Value::BigInt(Some(key))).collect();
            Value::Array(ArrayType::BigInt, Some(Box::new(array)))
        });
        return Statement::from_sql_and_values(db, text.replace("{keys}", &table), values);
    }
    let size = keys.len().next_power_of_two();
    let row = format!("({})", vec!["?"; N].join(","));
    let table = format!("VALUES {}", vec![row.as_str(); size].join(","));
    // Filled up with the last key: it gives its rows again, and they are known.
    let filled = keys.iter().chain(keys.last().into_iter().cycle()).take(size);
    let values = filled.flatten().map(|key| Value::BigInt(Some(*key)));
    Statement::from_sql_and_values(db, text.replace("{keys}", &table), values.collect::<Vec<_>>())
}

/// How many keys [`each`] takes at most: SQLite has no more than 500 parts of a union, and reads their text each time.
pub(crate) fn arms(db: DbBackend) -> usize {
    if db == DbBackend::Postgres { KEYS } else { 64 }
}

/// The rows of one statement for each key, one after the other, so that each can have a limit of its own. `?` in the
/// text stands for the integers of a key, in their order.
pub(crate) fn each<const N: usize>(db: DbBackend, text: &str, keys: &[[i64; N]]) -> Statement {
    if db == DbBackend::Postgres {
        let columns: Vec<String> = (1..=N).map(|number| format!("k{number}")).collect();
        let mut named = columns.iter();
        let mut pieces = text.split('?');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            text.extend(named.next().map(|name| format!("k.{name}")));
            text.push_str(piece);
        }
        let text = format!(
            "WITH k ({}) AS ({{keys}}) SELECT arm.* FROM k CROSS JOIN LATERAL ({text}) AS arm",
            columns.join(", ")
        );
        return keyed(db, &text, keys);
    }
    let size = keys.len().next_power_of_two();
    let arms = vec![format!("SELECT * FROM ({text}) AS arm"); size].join(" UNION ALL ");
    let filled = keys.iter().chain(keys.last().into_iter().cycle()).take(size);
    let values = filled.flatten().map(|key| Value::BigInt(Some(*key)));
    Statement::from_sql_and_values(db, arms, values.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_get_what_they_understand() {
        let text = "WITH k (a, b) AS ({keys}) SELECT 1";
        let sqlite = keyed(DbBackend::Sqlite, text, &[[1, 2], [3, 4], [5, 6]]);
        assert_eq!(
            sqlite.sql,
            "WITH k (a, b) AS (VALUES (?,?),(?,?),(?,?),(?,?)) SELECT 1"
        );
        assert_eq!(sqlite.values.map(|values| values.0.len()), Some(8));
        let postgres = keyed(DbBackend::Postgres, text, &[[1, 2]]);
        assert_eq!(
            postgres.sql,
            "WITH k (a, b) AS (SELECT * FROM UNNEST($1::bigint[], $2::bigint[])) SELECT 1"
        );
        let arms = each(DbBackend::Postgres, "SELECT ? + ?", &[[1, 2], [3, 4]]);
        assert_eq!(
            arms.sql,
            "WITH k (k1, k2) AS (SELECT * FROM UNNEST($1::bigint[], $2::bigint[])) \
             SELECT arm.* FROM k CROSS JOIN LATERAL (SELECT k.k1 + k.k2) AS arm"
        );
        let arms = each(DbBackend::Sqlite, "SELECT ? + ?", &[[1, 2], [3, 4]]);
        assert_eq!(
            arms.sql,
            "SELECT * FROM (SELECT ? + ?) AS arm UNION ALL SELECT * FROM (SELECT ? + ?) AS arm"
        );
    }
}
