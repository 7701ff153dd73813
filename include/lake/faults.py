"""Faults of a store that stay until somebody changes something: what is wrong, and the cure, in one sentence."""

import errno

from include.settings import Settings

CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment to those of the lake"
NO_ANSWER = "no S3 server answers there: start it, or set CAT_S3_ENDPOINT_URL to its address"
# By the names of botocore's exceptions, so that nobody imports botocore for a lake in a folder.
OF_CLIENTS = {
    "NoCredentialsError": f"no credentials were found: {CREDENTIALS}",
    "PartialCredentialsError": f"the credentials are not complete: {CREDENTIALS}",
    "CredentialRetrievalError": f"the credentials cannot be read: {CREDENTIALS}",
    "ProfileNotFound": "AWS_PROFILE names a profile that does not exist: set it to one of ~/.aws/config, or unset it",
    "EndpointConnectionError": NO_ANSWER,
    "ConnectTimeoutError": NO_ANSWER,
    "ConnectionClosedError": NO_ANSWER,
    "ReadTimeoutError": NO_ANSWER,
    "ProxyConnectionError": "the proxy does not answer: mend HTTPS_PROXY, or name the server in NO_PROXY",
    "SSLError": "it does not show a certificate that can be verified: write http:// where it has none, else set "
    "AWS_CA_BUNDLE",
    "ResponseParserError": "what answers there is no S3 server: set CAT_S3_ENDPOINT_URL to the address of one",
}
NO_BUCKET = "there is no such bucket: create it, or set CAT_LAKE_URL to one that exists"
FORBIDDEN = "these credentials may not do it: let them list, read, write and delete objects there"
NOT_ACCEPTED = f"the server does not accept the credentials: {CREDENTIALS}"
REGION = "the bucket is in another region: set AWS_DEFAULT_REGION to that of the bucket"
ILL = "the server answers with an error: look into its log, or set CAT_S3_ENDPOINT_URL to the address of an S3 server"
OF_SERVERS = {
    **dict.fromkeys(("NoSuchBucket", "404", "NotFound"), NO_BUCKET),
    **dict.fromkeys(("403", "AccessDenied", "Forbidden", "AllAccessDisabled"), FORBIDDEN),
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"), NOT_ACCEPTED),
    **dict.fromkeys(("PermanentRedirect", "301", "AuthorizationHeaderMalformed"), REGION),
    **dict.fromkeys(("InternalError", "500", "502", "503"), ILL),
    "InvalidBucketName": "a bucket cannot have this name: set CAT_LAKE_URL to one that exists",
}
ELSEWHERE = "or set CAT_LAKE_URL to another folder"
OF_DISKS = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), f"let this user read and write there, {ELSEWHERE}"),
    errno.EROFS: f"it can only be read: mount it for writing, {ELSEWHERE}",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), f"the disk is full: make room, {ELSEWHERE}"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), f"a part of its path is a file: take that away, {ELSEWHERE}"),
    errno.ENOENT: f"no folder can be made there: name a place where this user can make one, {ELSEWHERE}",
    errno.ENAMETOOLONG: "its path is too long: set CAT_LAKE_URL or CAT_STATE_DIR to a shorter one",
}


def describe_fault(error: Exception, settings: Settings) -> str:
    """A sentence about an error of the store that the settings name; of an unknown one its own first line."""
    return f"the lake {place_of(settings)} cannot be used: {_reason(error)}"


def place_of(settings: Settings) -> str:
    """The URL of the lake, with that of its server."""
    is_elsewhere = settings.s3_endpoint_url and settings.lake.startswith("s3://")
    return f"{settings.lake} at {settings.s3_endpoint_url}" if is_elsewhere else settings.lake


def _reason(error: Exception) -> str:
    first_line = str(error).partition("\n")[0][:300]
    if isinstance(error, OSError) and error.errno in OF_DISKS:
        return f"{error.filename or error.strerror}: {OF_DISKS[error.errno]}"
    answer = getattr(error, "response", None)
    code = str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""
    known = OF_SERVERS.get(code) or OF_CLIENTS.get(type(error).__name__)
    return known or f"{type(error).__name__}: {first_line}; mend that, or set CAT_LAKE_URL to another lake"
