//! The rights that mcptap's role needs in a database of PostgreSQL. They are looked at before anything is done, since
//! PostgreSQL names one table at a time, and no remedy.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{HISTORY, TABLES, Upkeep};
use crate::Error;

/// The rights of whoever reads.
const READS: &str = "('SELECT')";
/// The rights of whoever writes.
const WRITES: &str = "('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')";

/// A right that is missing: to whom, of what, and which.
struct Missing {
    role: String,
    of: String,
    what: String,
}

/// Fails with [`Error::NotOpened`], which has the GRANT to run, where the role may not do what it will. `work`: tables are to be
/// made, or brought up to date.
pub(crate) async fn check(db: &impl ConnectionTrait, upkeep: Upkeep, work: bool) -> Result<(), Error> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let tables: Vec<String> = TABLES
        .iter()
        .chain([&HISTORY])
        .map(|table| format!("'{table}'"))
        .collect();
    let tables = tables.join(", ");
    let ours = format!(
        "FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace \
         AND c.relkind IN ('r', 'p') AND c.relname IN ({tables})"
    );
    if work {
        let schema = "SELECT quote_ident(current_user) AS role, coalesce(quote_ident(current_schema()), 'public') AS of, \
            CASE WHEN current_schema() IS NULL THEN 'USAGE, CREATE' ELSE 'CREATE' END AS what \
            WHERE NOT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";
        if let Some(Missing { role, of, what }) = missing(db, schema).await? {
            return Err(refusal(
                format!("the role {role} may make no tables in the schema {of}"),
                format!("let its owner or a superuser run: GRANT {what} ON SCHEMA {of} TO {role}"),
            ));
        }
        let owner = format!(
            "SELECT quote_ident(current_user) AS role, string_agg(c.relname, ', ' ORDER BY c.relname) AS of, \
             quote_ident(pg_get_userbyid(c.relowner)) AS what {ours} AND NOT pg_has_role(c.relowner, 'USAGE') \
             GROUP BY c.relowner LIMIT 1"
        );
        if let Some(Missing { role, of, what }) = missing(db, &owner).await? {
            return Err(refusal(
                format!("the role {role} may not change the tables {of}, which are {what}'s"),
                format!("let {what} or a superuser run: GRANT {what} TO {role}"),
            ));
        }
    }
    let rights = match upkeep {
        Upkeep::Leave => READS,
        Upkeep::Migrate | Upkeep::Make | Upkeep::Change => WRITES,
    };
    let rows = format!(
        "SELECT quote_ident(current_user) AS role, string_agg(DISTINCT c.relname, ', ') AS of, \
         string_agg(DISTINCT needed.name, ', ') AS what FROM (SELECT c.oid, c.relname {ours}) AS c, \
         (VALUES {rights}) AS needed (name) WHERE NOT has_table_privilege(c.oid, needed.name) HAVING count(*) > 0"
    );
    if let Some(Missing { role, of, what }) = missing(db, &rows).await? {
        return Err(refusal(
            format!("the role {role} lacks {what} on {of}"),
            format!("let their owner or a superuser run: GRANT {what} ON {of} TO {role}"),
        ));
    }
    Ok(())
}

/// The rights that a statement finds missing.
async fn missing(db: &impl ConnectionTrait, statement: &str) -> Result<Option<Missing>, Error> {
    let statement = Statement::from_string(DbBackend::Postgres, statement.to_owned());
    let Some(row) = db.query_one_raw(statement).await? else {
        return Ok(None);
    };
    Ok(Some(Missing {
        role: row.try_get("", "role")?,
        of: row.try_get("", "of")?,
        what: row.try_get("", "what")?,
    }))
}

fn refusal(reason: String, advice: String) -> Error {
    Error::NotOpened { reason, advice }
}
