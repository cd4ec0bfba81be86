"""Errors as the service shows them: those of a REST call and those of a statement."""

from aiohttp import web


class ApiError(Exception):
    """A REST call that is refused: status, error_code, message and typed details of the JSON body."""

    def __init__(self, status, code, message, details=None, headers=None):
        super().__init__(message)
        self.status, self.code, self.message, self.details, self.headers = status, code, message, details, headers or {}

    def response(self, request):
        body = {"error_code": self.code, "message": self.message}
        if self.details:
            body["details"] = self.details + [
                {
                    "@type": "type.googleapis.com/google.rpc.RequestInfo",
                    "request_id": request["request_id"],
                    "serving_data": "",
                }
            ]
        return web.json_response(body, status=self.status, headers=self.headers)


def invalid_parameter(message):
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def error_info(reason, domain, **metadata):
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": domain,
        "metadata": metadata,
    }


class SqlError(Exception):
    """A statement that fails: error class and SQLSTATE of the engine, text without them.

    `code` is the error_code of the statement's status: BAD_REQUEST for what the statement's author can mend."""

    def __init__(self, error_class, sql_state, text, code="BAD_REQUEST"):
        message = f"[{error_class}] {text}" if error_class else text
        if sql_state and "SQLSTATE:" not in message:
            message = f"{message.rstrip()} SQLSTATE: {sql_state}"
        super().__init__(message)
        self.error_class, self.sql_state, self.message, self.code = error_class, sql_state, message, code


class Canceled(Exception):
    """A statement that ended because it was cancelled."""
