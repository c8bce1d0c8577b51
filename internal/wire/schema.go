package wire

import (
	"math/big"
	"reflect"
	"time"

	smithy "github.com/aws/smithy-go"
	"github.com/aws/smithy-go/document"
)

// schemaOf gives the Smithy schema that the SDK keeps for a struct type, or nil for a service whose SDK package has none (in
// 2026 the Query services). A schema is what says that the field BindIP is "bindIP" on the wire and not "bindIp".
//
// The SDK has no function from type to schema, but every such type can write itself to a ShapeSerializer and begins by
// naming its schema.
func schemaOf(t reflect.Type) *smithy.Schema {
	v, ok := reflect.New(t).Interface().(smithy.Serializable)
	if !ok {
		return nil
	}
	var r schemaRecorder
	v.Serialize(&r)
	return r.schema
}

func listMember(m *smithy.Schema) *smithy.Schema {
	if m == nil {
		return nil
	}
	return m.ListMember()
}

func mapValue(m *smithy.Schema) *smithy.Schema {
	if m == nil {
		return nil
	}
	return m.MapValue()
}

// schemaRecorder keeps the first struct's schema and drops everything else.
type schemaRecorder struct{ schema *smithy.Schema }

var _ smithy.ShapeSerializer = (*schemaRecorder)(nil)

func (r *schemaRecorder) WriteStruct(s *smithy.Schema) {
	if r.schema == nil {
		r.schema = s
	}
}

func (*schemaRecorder) Bytes() []byte                                { return nil }
func (*schemaRecorder) WriteInt8(*smithy.Schema, int8)               {}
func (*schemaRecorder) WriteInt16(*smithy.Schema, int16)             {}
func (*schemaRecorder) WriteInt32(*smithy.Schema, int32)             {}
func (*schemaRecorder) WriteInt64(*smithy.Schema, int64)             {}
func (*schemaRecorder) WriteFloat32(*smithy.Schema, float32)         {}
func (*schemaRecorder) WriteFloat64(*smithy.Schema, float64)         {}
func (*schemaRecorder) WriteBool(*smithy.Schema, bool)               {}
func (*schemaRecorder) WriteString(*smithy.Schema, string)           {}
func (*schemaRecorder) WriteBigInt(*smithy.Schema, *big.Int)         {}
func (*schemaRecorder) WriteBigFloat(*smithy.Schema, *big.Float)     {}
func (*schemaRecorder) WriteBlob(*smithy.Schema, []byte)             {}
func (*schemaRecorder) WriteTime(*smithy.Schema, time.Time)          {}
func (*schemaRecorder) WriteUnion(*smithy.Schema, *smithy.Schema)    {}
func (*schemaRecorder) CloseUnion()                                  {}
func (*schemaRecorder) WriteDocument(*smithy.Schema, document.Value) {}
func (*schemaRecorder) WriteNil(*smithy.Schema)                      {}
func (*schemaRecorder) CloseStruct()                                 {}
func (*schemaRecorder) WriteList(*smithy.Schema)                     {}
func (*schemaRecorder) CloseList()                                   {}
func (*schemaRecorder) WriteMap(*smithy.Schema)                      {}
func (*schemaRecorder) WriteKey(*smithy.Schema, string)              {}
func (*schemaRecorder) CloseMap()                                    {}
