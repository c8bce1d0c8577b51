//go:build ec2

// EC2's SDK package takes a minute or two to compile, so this test is not in the default set: go test -tags ec2 -run EC2 .
// Run it when the codec, the name tables or the SDK's version change.

package wire

import (
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

func TestWalkEC2(t *testing.T) {
	svc := NewService(ServiceConfig{Name: "ec2", Protocol: EC2Query, APIVersion: "2016-11-15", XMLNamespace: "http://ec2.amazonaws.com/doc/2016-11-15/", Client: reflect.TypeFor[*ec2.Client]()})
	delete(svc.operations, "CopySnapshot") // its client makes a presigned URL of what the walk draws at random, and can't
	walk(t, svc, func(c aws.Config) any { return ec2.NewFromConfig(c) })
}
