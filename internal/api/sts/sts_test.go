package sts

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"roadstead.dev/roadstead/internal/fault"
)

// TestNobody asks outside of any signed request. The answer to a signed one is tested by package logs, through the SDK.
func TestNobody(t *testing.T) {
	if _, err := GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{}); !fault.Is(err, fault.AccessDenied) {
		t.Errorf("who is nobody: %v", err)
	}
	if got := Register().Handled(); len(got) != 1 || got[0] != "GetCallerIdentity" {
		t.Errorf("handled: %v", got)
	}
}
