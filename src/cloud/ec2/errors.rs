//! What EC2's error codes mean: tables, and nothing else.
//!
//! EC2 models no errors, so codes and, where these are too coarse, words of the message are all there is to go by. They are read here
//! and nowhere else.

use thiserror::Error;

use crate::ports::{CloudError, ErrorClass};

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{operation}: {}{message}", if code.is_empty() { String::new() } else { format!("{code}: ") })]
pub struct ApiError {
    /// The operation, as AWS names it.
    pub operation: &'static str,
    /// AWS's code; empty if AWS did not answer.
    pub code: String,
    /// What AWS or the connection says.
    pub message: String,
}

/// Something that does not exist.
const NOT_FOUND: &[&str] = &[
    "InvalidInstanceID.NotFound",
    "InvalidInstanceID.Malformed",
    LAUNCH_TEMPLATE_NOT_FOUND,
    "InvalidLaunchTemplateId.NotFound",
    NO_SUCH_ENTITY,
    "ParameterNotFound",
    "ResourceNotFoundException",
];
/// A launch template that is named and does not exist.
const LAUNCH_TEMPLATE_NOT_FOUND: &str = "InvalidLaunchTemplateName.NotFoundException";
/// IAM's word for anything that does not exist.
const NO_SUCH_ENTITY: &str = "NoSuchEntity";
/// Something that exists already.
const EXISTS: &[&str] = &["InvalidLaunchTemplateName.AlreadyExistsException", "EntityAlreadyExists"];
/// Too many calls.
const THROTTLED: &[&str] = &[
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "EC2ThrottledException",
    "SlowDown",
];
/// Not allowed, or nobody knows the caller.
const UNAUTHORISED: &[&str] = &[
    "UnauthorizedOperation",
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
    "Blocked",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
/// Capacity that is not there now, as Karpenter reckons: another type or zone may be had.
const NO_CAPACITY: &[&str] = &[
    "InsufficientInstanceCapacity",
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
    "UnfulfillableCapacity",
    "Unsupported",
    NO_FREE_ADDRESSES,
    "MaxFleetCountExceeded",
    "ReservationCapacityExceeded",
];
/// The subnet is full: other subnets of the zone may not be.
const NO_FREE_ADDRESSES: &str = "InsufficientFreeAddressesInSubnet";
/// A token that was used with other parameters before.
const TOKEN_MISMATCH: &str = "IdempotentParameterMismatch";

/// What is wrong for as long as nobody changes it, by the reason: repeating it is of no use. With what to do about it.
const TO_BE_MENDED: &[(&str, &str)] = &[
    (USER_DATA_TOO_LONG, SHORTEN_USER_DATA),
    (
        "SecurityGroupSubnetVPCMismatch",
        "let subnetSelectorTerms and securityGroupSelectorTerms of the EC2NodeClass select from one VPC",
    ),
];
/// More user data than EC2 takes.
pub(super) const USER_DATA_TOO_LONG: &str = "UserDataSizeLimitExceeded";
/// What user data is made of that can be shorter.
pub(super) const SHORTEN_USER_DATA: &str = "use fewer or shorter labels and taints in the NodePool";

/// Reasons of failed launches, as Karpenter names them: by code, and a part of the message where one code has several. The
/// first that matches.
const REASONS: &[(&str, &str, &str)] = &[
    ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", "", "SpotSLRCreationFailed"),
    ("UnauthorizedOperation", "", "Unauthorized"),
    ("AuthFailure", "images", "AMIAuthorizationFailure"),
    ("", "belong to different networks", "SecurityGroupSubnetVPCMismatch"),
    ("", "IAM Instance Profile", "InstanceProfileNameInvalid"),
    (LAUNCH_TEMPLATE_NOT_FOUND, "", "LaunchTemplateNotFound"),
    ("", "User data is limited to", USER_DATA_TOO_LONG),
    ("InvalidAMIID.Malformed", "", "InvalidAMIID"),
    ("InvalidAMIID.NotFound", "", "AMINotFound"),
    ("RequestLimitExceeded", "", "RequestLimitExceeded"),
    ("InternalError", "", "InternalError"),
    ("", "Free Tier", "FreeTierIneligible"),
    ("MaxFleetCountExceeded", "", "FleetQuotaExceeded"),
    ("PendingVerification", "", "AccountPendingVerification"),
    ("MaxSpotInstanceCountExceeded", "", "SpotQuotaExceeded"),
    ("VcpuLimitExceeded", "", "VCPULimitExceeded"),
    (NO_FREE_ADDRESSES, "", "InsufficientFreeAddressesInSubnet"),
    ("InsufficientInstanceCapacity", "", "InsufficientInstanceCapacity"),
];

/// The class of a code.
#[must_use]
pub fn class(code: &str) -> ErrorClass {
    if NOT_FOUND.contains(&code) {
        ErrorClass::NotFound
    } else if is_no_capacity(code) {
        ErrorClass::NoCapacity
    } else if THROTTLED.contains(&code) {
        ErrorClass::Throttled
    } else if UNAUTHORISED.contains(&code) {
        ErrorClass::Unauthorised
    } else {
        ErrorClass::Other
    }
}

/// Karpenter's word for why a launch failed.
#[must_use]
pub fn launch_reason(code: &str, message: &str) -> &'static str {
    REASONS
        .iter()
        .find(|(known, words, _)| (known.is_empty() || *known == code) && message.contains(words))
        .map_or("LaunchFailed", |(_, _, reason)| reason)
}

/// What to do about a failure that stays until somebody does something.
#[must_use]
pub fn remedy(code: &str, message: &str) -> Option<&'static str> {
    let reason = launch_reason(code, message);
    TO_BE_MENDED.iter().find(|(known, _)| *known == reason).map(|(_, remedy)| *remedy)
}

/// Whether the code means that there is no capacity for one way to buy an instance.
#[must_use]
pub fn is_no_capacity(code: &str) -> bool {
    NO_CAPACITY.contains(&code)
}

/// Whether the code means that a subnet has no free address.
#[must_use]
pub fn is_subnet_full(code: &str) -> bool {
    code == NO_FREE_ADDRESSES
}

/// Whether the code means that a launch template is gone.
#[must_use]
pub fn is_template_gone(code: &str) -> bool {
    code == LAUNCH_TEMPLATE_NOT_FOUND
}

impl ApiError {
    /// Whether what was named does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        class(&self.code) == ErrorClass::NotFound
    }

    /// Whether what was to be created exists already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        EXISTS.contains(&self.code.as_str())
    }

    /// Whether the token was used with other parameters before.
    #[must_use]
    pub fn is_token_mismatch(&self) -> bool {
        self.code == TOKEN_MISMATCH
    }

    /// The error above the provider: what failed was this action.
    #[must_use]
    pub fn on(self, action: impl Into<String>) -> CloudError {
        let reason = match launch_reason(&self.code, &self.message) {
            "LaunchFailed" => "ApiError",
            reason => reason,
        };
        match remedy(&self.code, &self.message) {
            Some(remedy) => {
                let message = format!("{}; {remedy}", self.to_string().trim_end_matches('.'));
                CloudError::new(ErrorClass::NotReady, reason, action, message)
            }
            None => CloudError::new(class(&self.code), reason, action, self.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_decides_the_class() {
        let cases = [
            ("InvalidInstanceID.NotFound", ErrorClass::NotFound),
            ("NoSuchEntity", ErrorClass::NotFound),
            ("ParameterNotFound", ErrorClass::NotFound),
            ("InvalidLaunchTemplateName.NotFoundException", ErrorClass::NotFound),
            ("InsufficientInstanceCapacity", ErrorClass::NoCapacity),
            ("Unsupported", ErrorClass::NoCapacity),
            ("InsufficientFreeAddressesInSubnet", ErrorClass::NoCapacity),
            ("MaxFleetCountExceeded", ErrorClass::NoCapacity),
            ("RequestLimitExceeded", ErrorClass::Throttled),
            ("ThrottlingException", ErrorClass::Throttled),
            ("UnauthorizedOperation", ErrorClass::Unauthorised),
            ("AccessDeniedException", ErrorClass::Unauthorised),
            ("ExpiredToken", ErrorClass::Unauthorised),
            ("InternalError", ErrorClass::Other),
            ("IdempotentParameterMismatch", ErrorClass::Other),
            ("", ErrorClass::Other),
        ];
        for (code, expected) in cases {
            assert_eq!(class(code), expected, "{code}");
        }
    }

    #[test]
    fn code_and_message_decide_the_reason() {
        let cases = [
            ("UnauthorizedOperation", "You are not authorized", "Unauthorized"),
            ("AuthFailure", "Not authorized for images: [ami-1]", "AMIAuthorizationFailure"),
            ("AuthFailure", "AWS was not able to validate the credentials", "LaunchFailed"),
            (
                "InvalidParameter",
                "Security group sg-1 and subnet subnet-1 belong to different networks.",
                "SecurityGroupSubnetVPCMismatch",
            ),
            (
                "InvalidParameterValue",
                "Value (x) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
                "InstanceProfileNameInvalid",
            ),
            ("InvalidUserData.Malformed", "User data is limited to 16384 bytes", "UserDataSizeLimitExceeded"),
            ("InvalidAMIID.NotFound", "The image id '[ami-1]' does not exist", "AMINotFound"),
            (
                "VcpuLimitExceeded",
                "You have requested more vCPU capacity than your current vCPU limit",
                "VCPULimitExceeded",
            ),
            ("SomethingNew", "", "LaunchFailed"),
        ];
        for (code, message, expected) in cases {
            assert_eq!(launch_reason(code, message), expected, "{code}: {message}");
        }
    }

    #[test]
    fn an_error_names_operation_code_and_message_as_far_as_there_are_any() {
        let error = |code: &str| ApiError {
            operation: "DescribeSubnets",
            code: code.to_owned(),
            message: "no".to_owned(),
        };
        assert_eq!(error("Throttling").to_string(), "DescribeSubnets: Throttling: no");
        assert_eq!(error("").to_string(), "DescribeSubnets: no");
        assert_eq!(
            error("UnauthorizedOperation").on("resolve class default").to_string(),
            "resolve class default: DescribeSubnets: UnauthorizedOperation: no"
        );
    }
}
