//! Which operation a request asks for, from its method, path and query.
//!
//! The table is data, so that whoever wants to ask for everything can. A path is split at its slashes and each segment is
//! percent-decoded once, after the split: an encoded slash is part of a name, and no name of the service has one.

use icefield_protocol::{ErrorCode, Operation, sigv4::decoded};

use crate::error::ApiError;

/// How an operation is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The operation.
    pub operation: Operation,
    /// The method.
    pub method: &'static str,
    /// The path, with `{account}`, `{vault}` and `{id}` (of an archive, upload, job or lock) as whole segments.
    pub path: &'static str,
    /// The query parameter `operation` that tells two operations of one path apart.
    pub parameter: Option<&'static str>,
}

macro_rules! routes {
    ($($operation:ident $method:literal $path:literal $($parameter:literal)?;)*) => {
        /// Every operation, once.
        pub const ROUTES: &[Route] = &[$(Route {
            operation: Operation::$operation,
            method: $method,
            path: $path,
            parameter: routes!(@ $($parameter)?),
        },)*];
    };
    (@) => { None };
    (@ $parameter:literal) => { Some($parameter) };
}

routes! {
    CreateVault "PUT" "/{account}/vaults/{vault}";
    DescribeVault "GET" "/{account}/vaults/{vault}";
    ListVaults "GET" "/{account}/vaults";
    DeleteVault "DELETE" "/{account}/vaults/{vault}";
    SetVaultNotifications "PUT" "/{account}/vaults/{vault}/notification-configuration";
    GetVaultNotifications "GET" "/{account}/vaults/{vault}/notification-configuration";
    DeleteVaultNotifications "DELETE" "/{account}/vaults/{vault}/notification-configuration";
    SetVaultAccessPolicy "PUT" "/{account}/vaults/{vault}/access-policy";
    GetVaultAccessPolicy "GET" "/{account}/vaults/{vault}/access-policy";
    DeleteVaultAccessPolicy "DELETE" "/{account}/vaults/{vault}/access-policy";
    InitiateVaultLock "POST" "/{account}/vaults/{vault}/lock-policy";
    CompleteVaultLock "POST" "/{account}/vaults/{vault}/lock-policy/{id}";
    AbortVaultLock "DELETE" "/{account}/vaults/{vault}/lock-policy";
    GetVaultLock "GET" "/{account}/vaults/{vault}/lock-policy";
    AddTagsToVault "POST" "/{account}/vaults/{vault}/tags" "add";
    RemoveTagsFromVault "POST" "/{account}/vaults/{vault}/tags" "remove";
    ListTagsForVault "GET" "/{account}/vaults/{vault}/tags";
    UploadArchive "POST" "/{account}/vaults/{vault}/archives";
    DeleteArchive "DELETE" "/{account}/vaults/{vault}/archives/{id}";
    InitiateMultipartUpload "POST" "/{account}/vaults/{vault}/multipart-uploads";
    UploadMultipartPart "PUT" "/{account}/vaults/{vault}/multipart-uploads/{id}";
    ListParts "GET" "/{account}/vaults/{vault}/multipart-uploads/{id}";
    ListMultipartUploads "GET" "/{account}/vaults/{vault}/multipart-uploads";
    CompleteMultipartUpload "POST" "/{account}/vaults/{vault}/multipart-uploads/{id}";
    AbortMultipartUpload "DELETE" "/{account}/vaults/{vault}/multipart-uploads/{id}";
    InitiateJob "POST" "/{account}/vaults/{vault}/jobs";
    DescribeJob "GET" "/{account}/vaults/{vault}/jobs/{id}";
    ListJobs "GET" "/{account}/vaults/{vault}/jobs";
    GetJobOutput "GET" "/{account}/vaults/{vault}/jobs/{id}/output";
    GetDataRetrievalPolicy "GET" "/{account}/policies/data-retrieval";
    SetDataRetrievalPolicy "PUT" "/{account}/policies/data-retrieval";
    PurchaseProvisionedCapacity "POST" "/{account}/provisioned-capacity";
    ListProvisionedCapacity "GET" "/{account}/provisioned-capacity";
}

/// What a request asks for, in the texts of its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) operation: Operation,
    /// `-` or what should be the number of an account.
    pub(crate) account: String,
    /// What should be the name of a vault; empty where the operation has none.
    pub(crate) vault: String,
    /// What should be the ID of an archive, upload, job or lock; empty where the operation has none.
    pub(crate) id: String,
}

impl Target {
    /// Finds the operation.
    ///
    /// # Errors
    ///
    /// `BadRequest` when none has this path and method, `InvalidParameterValue` when only the parameter `operation` is wrong.
    pub(crate) fn find(method: &str, path: &str, query: &str) -> Result<Self, ApiError> {
        let segments = segments(path);
        let asked = parameter(query, "operation");
        let mut other_parameter = false;
        for route in ROUTES.iter().filter(|route| route.method == method) {
            let Some(target) = route.matched(&segments) else { continue };
            if route.parameter.is_none() || route.parameter == asked.as_deref() {
                return Ok(target);
            }
            other_parameter = true;
        }
        if other_parameter {
            let asked = asked.unwrap_or_default();
            return Err(ApiError::invalid(format!("Invalid operation: {asked}")));
        }
        Err(ApiError::new(ErrorCode::BadRequest, "No operation has this path and method."))
    }
}

impl Route {
    fn matched(&self, segments: &[String]) -> Option<Target> {
        let [mut account, mut vault, mut id] = [const { String::new() }; 3];
        let mut rest = segments.iter();
        for pattern in self.path[1..].split('/') {
            let segment = rest.next()?;
            let taken = match pattern {
                "{account}" => &mut account,
                "{vault}" => &mut vault,
                "{id}" => &mut id,
                literal if literal == segment => continue,
                _ => return None,
            };
            if segment.is_empty() {
                return None;
            }
            taken.clone_from(segment);
        }
        let complete = rest.next().is_none();
        complete.then_some(Target { operation: self.operation, account, vault, id })
    }
}

/// Splits a path and decodes what is between its slashes; one slash at its end is ignored.
fn segments(path: &str) -> Vec<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path).split('/').map(text).collect()
}

/// Returns what an encoded text stands for; bytes that are no text are replaced by what no name has.
fn text(encoded: &str) -> String {
    String::from_utf8_lossy(&decoded(encoded)).into_owned()
}

/// Returns the decoded value of a query parameter; the first, if it is given twice.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (text(key) == name).then(|| text(value))
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use icefield_protocol::{ErrorCode, Operation};
    use proptest::proptest;

    use super::{ROUTES, Target, parameter};

    fn found(method: &str, path: &str, query: &str) -> Option<Target> {
        Target::find(method, path, query).ok()
    }

    #[test]
    fn every_operation_is_found_by_its_own_route_and_no_other() {
        for operation in Operation::ALL {
            let mut routes = ROUTES.iter().filter(|route| route.operation == *operation);
            let route = routes.next().expect("every operation has a route");
            assert_eq!(routes.next(), None, "{operation} has two");
            let path = route.path.replace("{account}", "-").replace("{vault}", "v");
            let path = path.replace("{id}", "-x");
            let query = route.parameter.map(|value| format!("operation={value}"));
            let query = query.unwrap_or_default();
            for path in [path.clone(), format!("{path}/")] {
                let target = found(route.method, &path, &query).unwrap();
                assert_eq!(target.operation, *operation);
                assert_eq!(target.vault.is_empty(), !operation.has_vault());
                assert_eq!(target.id.is_empty(), !route.path.contains("{id}"));
            }
            assert_eq!(found("HEAD", &path, &query), None);
        }
    }

    #[test]
    fn segments_are_decoded_once_after_the_split() {
        let vault = |path: &str| found("GET", path, "").unwrap().vault;
        assert_eq!(vault("/-/vaults/a%2Fb"), "a/b");
        assert_eq!(vault("/-/vaults/a%2fb%252e"), "a/b%2e");
        assert_eq!(vault("/-/vaults/%2e%2E"), "..");
        assert_eq!(vault("/-/vaults/.."), "..");
        assert_eq!(vault("/-/vaults/a%00"), "a\0");
        assert_eq!(vault("/-/vaults/%ff"), "\u{fffd}");
        assert_eq!(vault("/-/vaults/%zz%2"), "%zz%2");
        assert_eq!(vault("/-/vaults/a+b"), "a+b");
        assert_eq!(found("GET", "/%2d/v%61ults", "").unwrap().account, "-");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_one_segment(text in "\\PC{1,40}") {
            let encoded = text.bytes().fold(String::new(), |mut encoded, byte| {
                write!(encoded, "%{byte:02x}").unwrap();
                encoded
            });
            let target = found("DELETE", &format!("/-/vaults/{encoded}/archives/{encoded}"), "");
            let target = target.unwrap();
            assert_eq!((&target.vault, &target.id), (&text, &text));
            assert_eq!(parameter(&format!("{encoded}={encoded}"), &text), Some(text));
        }

        #[test]
        fn no_path_is_too_strange(path in "[-/%.a-f0-9{}+\\PC]{0,60}", query in "[-&=%a-f0-9]{0,30}") {
            for method in ["GET", "POST", "\u{0}"] {
                let _found_or_not = Target::find(method, &path, &query);
            }
        }
    }

    #[test]
    fn what_no_operation_has_is_a_bad_request() {
        for (method, path) in [
            ("GET", "/"),
            ("GET", ""),
            ("GET", "/-"),
            ("GET", "/vaults/x"),
            ("GET", "//vaults"),
            ("GET", "/-//vaults"),
            ("GET", "/-/vaults//"),
            ("GET", "/-/vaults/v//"),
            ("PATCH", "/-/vaults/v"),
            ("get", "/-/vaults/v"),
            ("GET", "/-/vaults/v/archives"),
            ("GET", "/-/vaults/v/archives/x"),
            ("PUT", "/-/vaults/v/lock-policy"),
            ("GET", "/-/vaults/v/jobs/x/output/y"),
            ("GET", "/-/priority-capacity"),
            ("OPTIONS", "*"),
        ] {
            let error = Target::find(method, path, "").unwrap_err();
            assert_eq!(error.code, ErrorCode::BadRequest, "{method} {path}");
        }
    }

    #[test]
    fn tags_are_added_or_removed_as_the_query_says() {
        let asked = |query| found("POST", "/-/vaults/v/tags", query).map(|found| found.operation);
        assert_eq!(asked("operation=add"), Some(Operation::AddTagsToVault));
        assert_eq!(asked("x=y&operation=remove"), Some(Operation::RemoveTagsFromVault));
        for query in ["", "operation", "operation=", "operation=Add", "Operation=add"] {
            let error = Target::find("POST", "/-/vaults/v/tags", query).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidParameterValue, "{query}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let query = "limit=&marker=arn%3Aaws%2F&flag&marker=second";
        assert_eq!(parameter(query, "limit").as_deref(), Some(""));
        assert_eq!(parameter(query, "marker").as_deref(), Some("arn:aws/"));
        assert_eq!(parameter(query, "flag").as_deref(), Some(""));
        assert_eq!(parameter(query, "mark"), None);
    }
}
