package wire

import (
	"encoding/json"
	"errors"
	"net/http"

	"roadstead.dev/roadstead/internal/fault"
)

// The errors that the wire itself answers, by their names in JSON services; queryCodes has the others' names.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
const (
	kindMissingToken    fault.Kind = "MissingAuthenticationTokenException"
	kindIncomplete      fault.Kind = "IncompleteSignatureException"
	kindUnrecognized    fault.Kind = "UnrecognizedClientException"
	kindBadSignature    fault.Kind = "InvalidSignatureException"
	kindExpiredToken    fault.Kind = "ExpiredTokenException"
	kindRequestExpired  fault.Kind = "RequestExpired"
	kindSerialization   fault.Kind = "SerializationException"
	kindUnknownOp       fault.Kind = "UnknownOperationException"
	kindTooLarge        fault.Kind = "RequestEntityTooLargeException"
	kindInternalFailure fault.Kind = "InternalFailure"
)

// queryCodes has the names that Query services give to errors common to all of AWS, where they differ from JSON's.
var queryCodes = map[fault.Kind]string{
	kindMissingToken:       "MissingAuthenticationToken",
	kindIncomplete:         "IncompleteSignature",
	kindUnrecognized:       "InvalidClientTokenId",
	kindBadSignature:       "SignatureDoesNotMatch",
	kindExpiredToken:       "ExpiredToken",
	kindSerialization:      "MalformedInput",
	kindUnknownOp:          "InvalidAction",
	kindTooLarge:           "RequestEntityTooLarge",
	fault.AccessDenied:     "AccessDenied",
	fault.Throttling:       "Throttling",
	fault.Validation:       "ValidationError",
	fault.InvalidParameter: "InvalidParameterValue",
	fault.Unavailable:      "ServiceUnavailable",
	fault.Server:           "InternalFailure",
	fault.Unsupported:      "UnsupportedOperation",
}

// ec2Codes has what EC2 says instead of the other Query services.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
var ec2Codes = map[fault.Kind]string{
	kindUnrecognized:  "AuthFailure",
	kindSerialization: "InvalidParameterValue",
	fault.Server:      "InternalError",
	fault.Unavailable: "Unavailable",
}

// code gives the name of a kind in a protocol.
func code(p Protocol, k fault.Kind) string {
	if p == EC2Query {
		if c, ok := ec2Codes[k]; ok {
			return c
		}
	}
	if !p.json() {
		if c, ok := queryCodes[k]; ok {
			return c
		}
	}
	return string(k)
}

// status gives an error's HTTP status: 400 where no rule says otherwise. JSON services answer 400 even for a bad signature.
func status(cfg *ServiceConfig, k fault.Kind) int {
	if s, ok := cfg.Status[k]; ok {
		return s
	}
	switch k {
	case fault.Server, kindInternalFailure, cfg.Internal, "InternalServerException", "InternalServiceError", "InternalError":
		return http.StatusInternalServerError
	case fault.Unavailable, "ServiceUnavailable", "Unavailable":
		return http.StatusServiceUnavailable
	case kindTooLarge:
		return http.StatusRequestEntityTooLarge
	}
	if cfg.Protocol.json() {
		return http.StatusBadRequest
	}
	switch k {
	case kindUnrecognized:
		if cfg.Protocol == EC2Query {
			return http.StatusUnauthorized
		}
		return http.StatusForbidden
	case kindMissingToken, kindBadSignature, kindExpiredToken, fault.AccessDenied, "AccessDenied", "OptInRequired":
		return http.StatusForbidden
	case "NoSuchEntity":
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

// asFault finds the *fault.Error in a handler's error, or makes the internal one that says nothing of the cause.
func asFault(cfg *ServiceConfig, err error) *fault.Error {
	var f *fault.Error
	if errors.As(err, &f) && f.Kind != "" {
		return f
	}
	return fault.Wrap(err, cfg.Internal, "The request processing has failed because of an unknown error, exception or failure.")
}

// appendErrorJSON writes an error's body. The SDKs look for its type in the header X-Amzn-ErrorType or in __type, and for the
// text in message (or Message: boto3 knows both).
func appendErrorJSON(b []byte, f *fault.Error) []byte {
	b = append(b, `{"__type":`...)
	b = appendString(b, string(f.Kind))
	b = append(b, `,"message":`...)
	b = appendString(b, f.Message)
	for _, k := range sortedKeys(f.Fields) {
		j, err := json.Marshal(f.Fields[k])
		if err != nil || k == "message" || k == "__type" {
			continue // a member that can't be written must not hide the error itself
		}
		b = append(b, ',')
		b = append(appendString(b, k), ':')
		b = append(b, j...)
	}
	return append(b, '}')
}

// faultType is Query's Type element: whose fault it is.
func faultType(status int) string {
	if status >= 500 {
		return "Receiver"
	}
	return "Sender"
}
