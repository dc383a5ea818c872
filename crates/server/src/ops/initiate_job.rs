use std::str::FromStr;

use icefield_engine::Access;
use icefield_protocol::{
    ArchiveId, ByteRange, Description, InventoryFormat, InventoryParameters, JobRequest, Tier,
    Timestamp, TopicArn,
};
use serde_json::Value;

use crate::{
    error::ApiError,
    header,
    json::{Object, invalid},
    request::Call,
    response::Reply,
};

const ARCHIVE_RETRIEVAL: &str = "archive-retrieval";
const INVENTORY_RETRIEVAL: &str = "inventory-retrieval";

/// Initiate Job: `POST /{account}/vaults/{vault}/jobs`.
///
/// Source: Glacier API reference, "Initiate Job (POST jobs)".
pub(super) async fn initiate_job(mut call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    let request = job_request(&parameters(call.object()?)?)?;
    let id = call.engine.initiate_job(&access, &request).await?;
    call.bell.ring();
    Reply::accepted_at(&format!("{}/jobs/{id}", call.vault_path(&access)))?
        .header(header::JOB_ID, id.as_str())
}

/// Returns the archive that a request for a job names: its age counts when it is decided who may ask.
pub(super) fn archive_of(body: &Object) -> Option<ArchiveId> {
    let parameters = parameters(body.clone()).ok()?;
    ArchiveId::parse_issued(parameters.text("ArchiveId").ok()??).ok()
}

/// Returns the parameters: the body, or what is wrapped in it as the syntax in the guide has it.
fn parameters(body: Object) -> Result<Object, ApiError> {
    let wrapped = body.object("jobParameters")?;
    Ok(wrapped.unwrap_or(body))
}

fn job_request(body: &Object) -> Result<JobRequest, ApiError> {
    let (description, sns_topic) = (description(body)?, sns_topic(body)?);
    match body.required_text("Type")? {
        ARCHIVE_RETRIEVAL => {
            refuse(body, &["InventoryRetrievalParameters", "SelectParameters", "OutputLocation"])?;
            let id = body.required_text("ArchiveId")?;
            let archive =
                ArchiveId::parse_issued(id).map_err(|_| super::not_found("archive", id))?;
            let range = word::<ByteRange>(body, "RetrievalByteRange")?;
            let tier = word(body, "Tier")?.unwrap_or(Tier::Standard);
            Ok(JobRequest::Archive { archive, range, tier, description, sns_topic })
        }
        INVENTORY_RETRIEVAL => {
            // A tier means nothing here and is not looked at.
            refuse(
                body,
                &["ArchiveId", "RetrievalByteRange", "SelectParameters", "OutputLocation"],
            )?;
            let parameters = inventory_parameters(body)?;
            Ok(JobRequest::Inventory { parameters, description, sns_topic })
        }
        other => Err(ApiError::invalid(format!("Invalid Type: {other}"))),
    }
}

/// Refuses members that belong to another type of job.
fn refuse(body: &Object, names: &[&str]) -> Result<(), ApiError> {
    match names.iter().find(|name| body.member(name).is_some()) {
        Some(name) => {
            Err(ApiError::invalid(format!("Invalid {name}: not allowed for this type of job")))
        }
        None => Ok(()),
    }
}

fn description(body: &Object) -> Result<Option<Description>, ApiError> {
    let text = body.text("Description")?.unwrap_or("");
    Description::parse(text).map_err(|_| ApiError::invalid(format!("Invalid Description: {text}")))
}

fn sns_topic(body: &Object) -> Result<Option<String>, ApiError> {
    Ok(word::<TopicArn>(body, "SNSTopic")?.map(|arn| arn.to_string()))
}

fn inventory_parameters(body: &Object) -> Result<InventoryParameters, ApiError> {
    let format = word(body, "Format")?.unwrap_or(InventoryFormat::Json);
    let asked = body.object("InventoryRetrievalParameters")?.unwrap_or_default();
    Ok(InventoryParameters {
        end_date: date(&asked, "EndDate")?,
        format,
        limit: limit(&asked)?,
        marker: asked.text("Marker")?.filter(|text| !text.is_empty()).map(str::to_owned),
        start_date: date(&asked, "StartDate")?,
    })
}

fn date(asked: &Object, name: &str) -> Result<Option<Timestamp>, ApiError> {
    word(asked, name)
}

/// Reads a limit: a text of digits, or a number as boto 2 may send it.
fn limit(asked: &Object) -> Result<Option<u64>, ApiError> {
    let Some(value) = asked.member("Limit") else { return Ok(None) };
    let number = match value {
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    number.map(Some).ok_or_else(|| invalid("Limit", value))
}

/// Reads a text of a known form; an empty one is absent.
fn word<T: FromStr>(body: &Object, name: &str) -> Result<Option<T>, ApiError> {
    let Some(text) = body.text(name)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| ApiError::invalid(format!("Invalid {name}: {text}")))
}
