package wire

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/aws/smithy-go/document"
	"github.com/go-json-experiment/json/jsontext"
)

// scalar reads a value of a wanted kind. The bytes are good until the next read.
func (j *jsonDecoder) scalar(want jsontext.Kind, target string) (jsontext.Value, error) {
	k := j.d.PeekKind()
	if k == want {
		return j.d.ReadValue()
	}
	switch k {
	case '{':
		return nil, wrongType("Start of structure or map found where not expected.")
	case '[':
		return nil, wrongType("Start of list found where not expected.")
	case '"':
		return nil, wrongType("STRING_VALUE can not be converted to %s", target)
	case '0':
		return nil, wrongType("NUMBER_VALUE can not be converted to %s", target)
	case 't', 'f':
		return nil, wrongType("%s can not be converted to %s", map[jsontext.Kind]string{'t': "TRUE_VALUE", 'f': "FALSE_VALUE"}[k], target)
	case 'n':
		return nil, wrongType("null can not be converted to %s", target)
	}
	_, err := j.d.ReadToken()
	if err == nil {
		err = wrongType("Unexpected field type")
	}
	return nil, err
}

func (j *jsonDecoder) str() (string, error) {
	raw, err := j.scalar('"', "a String")
	if err != nil {
		return "", err
	}
	text, err := unquote(raw)
	return string(text), err
}

func (j *jsonDecoder) boolean(v reflect.Value) error {
	k := j.d.PeekKind()
	if k != 't' && k != 'f' {
		_, err := j.scalar('t', "a Boolean")
		return err
	}
	_, err := j.d.ReadToken()
	v.SetBool(k == 't')
	return err
}

func (j *jsonDecoder) integer(v reflect.Value) error {
	raw, err := j.scalar('0', "an Integer")
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		// 1.0 and 1e3 are integers too; clients of dynamic languages send them.
		f, ferr := strconv.ParseFloat(string(raw), 64)
		if ferr != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
			return wrongType("NUMBER_VALUE %s can not be converted to an Integer", clipped(string(raw)))
		}
		n = int64(f)
	}
	if v.OverflowInt(n) {
		return wrongType("NUMBER_VALUE %d is out of range for an Integer of %d bits", n, v.Type().Bits())
	}
	v.SetInt(n)
	return nil
}

func (j *jsonDecoder) float(v reflect.Value) error {
	if j.d.PeekKind() == '"' {
		text, err := j.str()
		if err != nil {
			return err
		}
		switch text {
		case "NaN":
			v.SetFloat(math.NaN())
		case "Infinity":
			v.SetFloat(math.Inf(1))
		case "-Infinity":
			v.SetFloat(math.Inf(-1))
		default:
			return wrongType("STRING_VALUE can not be converted to a Double")
		}
		return nil
	}
	raw, err := j.scalar('0', "a Double")
	if err != nil {
		return err
	}
	f, err := strconv.ParseFloat(string(raw), v.Type().Bits())
	if err != nil {
		return wrongType("NUMBER_VALUE is out of range for a Double")
	}
	v.SetFloat(f)
	return nil
}

// maxEpoch is the last second of the year 9999.
const maxEpoch = 253402300799

func (j *jsonDecoder) time(v reflect.Value) error {
	raw, err := j.scalar('0', "milliseconds since epoch")
	if err != nil {
		return err
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.Abs(f) > maxEpoch {
		return wrongType("NUMBER_VALUE is out of range for a timestamp")
	}
	// Milliseconds are all the SDKs send, and all that a float64 keeps of a date of today.
	v.Set(reflect.ValueOf(time.UnixMilli(int64(math.Round(f * 1000))).UTC()))
	return nil
}

func (j *jsonDecoder) blob(v reflect.Value) error {
	raw, err := j.scalar('"', "a Blob")
	if err != nil {
		return err
	}
	text, err := unquote(raw)
	if err != nil {
		return err
	}
	out, err := base64.StdEncoding.AppendDecode([]byte{}, text)
	if err != nil {
		return wrongType("STRING_VALUE is not valid base64")
	}
	v.SetBytes(out)
	return nil
}

// documentValue turns encoding/json's numbers into those that the SDK's documents know.
func documentValue(x any) any {
	switch x := x.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n
		}
		return document.Number(x)
	case []any:
		for i := range x {
			x[i] = documentValue(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = documentValue(x[k])
		}
	}
	return x
}
