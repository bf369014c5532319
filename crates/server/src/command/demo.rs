//! `serve --demo`: loads a small organisation for trying the service.

use std::net::SocketAddr;

use access_tokens_domain::directory::Organisation;
use access_tokens_domain::import;
use access_tokens_domain::ports::{HashWork, Verdict};
use access_tokens_domain::secret::{PassCodeHash, Secret};
use access_tokens_domain::session::{OrganisationKey, Permissions};
use access_tokens_domain::store::{AccountStore, OrganisationRef};
use anyhow::{Context as _, bail};
use serde_json::json;

use super::context::Context;
use super::errors::to_anyhow;
use crate::config::Settings;

/// Records from the documented examples of the API.
const RECORDS: &str = include_str!("../../../../deploy/demo.ndjson");
const ORGANISATION: &str = "DEMO";
/// The id of the organisation, by which it is found after a rename. Databases from before version 0.3.0 have another id, so that the name
/// is compared too.
const ORGANISATION_ID: &str = "DE00D3A0B1C54E6F8A7296B4C3D5E7F1";
/// Id of the unit of the user.
const UNIT: &str = "1";
const USER: &str = "demo";
const PASSWORD: &str = "demo-demo-demo";
/// The password of releases before the minimum length was introduced.
const OLD_PASSWORD: &str = "demo";

/// Loads the organisation and its user, unless they exist. Later changes of them stay.
pub(super) async fn load(context: &Context) -> anyhow::Result<()> {
    let organisation = organisation(context).await?;
    // The user is written last, so that its presence proves that all other records are there.
    if let Some(credential) = context.database.credential_by_username(organisation.key, USER).await? {
        return renew_password(context, &organisation, credential.password).await;
    }
    let lines = RECORDS.lines().filter(|line| !line.trim().is_empty());
    let records: Result<Vec<_>, _> = lines.map(import::parse).collect();
    let records = records.map_err(to_anyhow)?.into_iter().flatten().collect();
    context.import(&organisation, records).await.context("the demo organisation")?;
    context
        .save_user(&organisation, USER, Permissions::all(), Some(UNIT), Some(PASSWORD))
        .await
        .context("the demo user")?;
    Ok(())
}

/// Returns the organisation, which is created if it does not exist.
async fn organisation(context: &Context) -> anyhow::Result<OrganisationRef> {
    let known = context.database.organisations().await.map_err(to_anyhow)?;
    if !known.iter().any(|one| one.name == ORGANISATION || one.id == ORGANISATION_ID) {
        let fresh = Organisation::new(ORGANISATION_ID, ORGANISATION);
        return context.database.ensure_organisation(&fresh).await.map_err(to_anyhow);
    }
    // An organisation of this id that was renamed does not count: another one is created.
    Ok(context.create_organisation(ORGANISATION).await?.0)
}

/// Refuses a database whose demo user has a published password, for a server that other machines reach at `open`.
pub(super) async fn refuse_published_password(context: &Context, open: &str) -> anyhow::Result<()> {
    let pending = !context.database.pending_migrations().await?.is_empty();
    match find_published_password(context).await {
        Ok(Some(name)) => bail!(
            "the user \"{USER}\" of the organisation {name} has the published password of the demo, and {open} is open to other \
             machines: give it another one with `access-tokens user password --organisation {name} --username {USER} \
             --password-stdin`, or serve the demo to them with --demo --demo-public"
        ),
        // Tables of another version may be missing, or have another form.
        Err(error) if !pending => Err(error),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Returns the name of a demo organisation whose user has a published password.
async fn find_published_password(context: &Context) -> anyhow::Result<Option<String>> {
    let organisations = context.database.organisations().await.map_err(to_anyhow)?;
    for one in organisations.into_iter().filter(|one| one.name == ORGANISATION || one.id == ORGANISATION_ID) {
        let Some(credential) = context.database.credential_by_username(one.key, USER).await? else { continue };
        for published in [PASSWORD, OLD_PASSWORD] {
            if has_password(context, one.key, credential.password.clone(), published).await? {
                return Ok(Some(one.name));
            }
        }
    }
    Ok(None)
}

/// Replaces the password of earlier releases, so that the printed log-in works. Any other password stays.
async fn renew_password(
    context: &Context,
    organisation: &OrganisationRef,
    stored: Option<PassCodeHash>,
) -> anyhow::Result<()> {
    if has_password(context, organisation.key, stored, OLD_PASSWORD).await? {
        let record = json!({"user": {"username": USER, "password": PASSWORD}});
        let records = import::from_value(record).map_err(to_anyhow)?;
        context.import(organisation, records).await.context("the demo user")?;
    }
    Ok(())
}

/// Returns whether a stored password is `password`.
async fn has_password(
    context: &Context,
    organisation: OrganisationKey,
    stored: Option<PassCodeHash>,
    password: &str,
) -> anyhow::Result<bool> {
    let work = HashWork::call(organisation);
    Ok(stored.is_some() && context.secrets.verify(work, Secret::new(password), stored).await? != Verdict::Wrong)
}

/// Returns commands to try the service.
pub(super) fn instructions(settings: &Settings) -> String {
    let address = settings.grpc.listen;
    let how = if settings.grpc.tls.certificate.is_some() { "-cacert AUTHORITY.pem" } else { "-plaintext" };
    let encrypted = settings.http.tls.certificate.is_some();
    let http = settings.http.listen.map(|address| over_http(address, encrypted)).unwrap_or_default();
    format!(
        r#"
The organisation {ORGANISATION} is there. Log in as user "{USER}" with password "{PASSWORD}", and try:

  TOKEN=$(grpcurl {how} -d '{{"username":"{USER}","password":"{PASSWORD}","organisation":"{ORGANISATION}"}}' \
    {address} accesstoken.v1.AuthenticationService/Login | sed -n 's/.*"token": "\(.*\)".*/\1/p')

  grpcurl {how} -H "authorization: Bearer $TOKEN" \
    -d '{{"access_token_identifier":{{"authentication_code":"99021047380"}}}}' \
    {address} accesstoken.v1.AccessTokenService/ShowAccessToken

  grpcurl {how} -H "authorization: Bearer $TOKEN" \
    -d '{{"access_token_identifier":{{"authentication_code":"99021047380"}}}}' \
    {address} accesstoken.v1.AccessTokenService/SetAsNotEffective
{http}
"#
    )
}

fn over_http(address: SocketAddr, encrypted: bool) -> String {
    let (scheme, how) = if encrypted { ("https", "-s --cacert AUTHORITY.pem") } else { ("http", "-s") };
    format!(
        r#"
The same over HTTP, as clients of the original API call it; {scheme}://{address}/docs is for people:

  TOKEN=$(curl {how} {scheme}://{address}/crmapi/rest/v2/authentication/token \
    -d '{{"username":"{USER}","password":"{PASSWORD}","organisation":"{ORGANISATION}"}}' | sed 's/.*"token":"\([^"]*\)".*/\1/')

  curl {how} {scheme}://{address}/crmapi/rest/v2/access_tokens/show \
    -d '{{"token":"'$TOKEN'","access_token_identifier":{{"authentication_code":"99021047380"}}}}'
"#
    )
}
