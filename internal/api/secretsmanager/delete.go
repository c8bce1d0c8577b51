package secretsmanager

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Recovery windows, in days.
const (
	shortestWindow = 7
	longestWindow  = 30
	day            = 24 * 3600 * 1000 // ms
)

// DeleteSecret marks a secret for deletion after its recovery window, or deletes it at once.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html
func (a *API) DeleteSecret(ctx context.Context, in *sdk.DeleteSecretInput) (*sdk.DeleteSecretOutput, error) {
	force := aws.ToBool(in.ForceDeleteWithoutRecovery)
	window := int64(longestWindow)
	switch {
	case force && in.RecoveryWindowInDays != nil:
		return nil, fault.New(fault.InvalidParameter, "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
	case in.RecoveryWindowInDays != nil:
		window = *in.RecoveryWindowInDays
	}
	if window < shortestWindow || window > longestWindow {
		return nil, fault.New(fault.InvalidParameter, "RecoveryWindowInDays value must be between %d and %d days (inclusive).", shortestWindow, longestWindow)
	}
	out := &sdk.DeleteSecretOutput{}
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := a.secret(&tx.Tables, in.SecretId)
		if err != nil {
			return err
		}
		now := a.now()
		out.ARN, out.Name, out.DeletionDate = aws.String(old.ARN(a.Place)), &old.Name, at(now)
		if force {
			remove(tx, old)
			return nil
		}
		if old.DeletedAt != 0 {
			return errDeleted
		}
		s := old.Clone()
		s.DeletedAt, s.GoneAt = now, now+ecs.Millis(window*day)
		out.DeletionDate = at(s.GoneAt)
		tx.Secrets.Put(s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RestoreSecret takes a deletion back.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RestoreSecret.html
func (a *API) RestoreSecret(ctx context.Context, in *sdk.RestoreSecretInput) (*sdk.RestoreSecretOutput, error) {
	out := &sdk.RestoreSecretOutput{}
	err := a.Store.Update(ctx, func(tx *state.Tx) error {
		old, err := a.secret(&tx.Tables, in.SecretId)
		if err != nil {
			return err
		}
		s := old.Clone()
		s.DeletedAt, s.GoneAt = 0, 0
		tx.Secrets.Put(s)
		out.ARN, out.Name = aws.String(s.ARN(a.Place)), &s.Name
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
