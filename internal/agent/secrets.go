package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"roadstead.dev/roadstead/internal/agent/metadata"
	"roadstead.dev/roadstead/internal/agent/sdkhttp"
	domain "roadstead.dev/roadstead/internal/ecs"
)

// secretSource asks Secrets Manager and the Parameter Store at the server, as the execution role of a task.
type secretSource struct {
	cfg    Config
	lender *lender
}

// Secret implements engine.SecretSource.
func (s *secretSource) Secret(ctx context.Context, role, task string, ref domain.SecretReference) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	creds := s.lender.role(metadata.Role{ARN: role, Task: task})
	if ref.Parameter {
		return s.parameter(ctx, creds, ref)
	}
	client := secretsmanager.New(secretsmanager.Options{Region: s.cfg.Region, Credentials: creds, BaseEndpoint: &s.cfg.ServerURL, HTTPClient: sdkhttp.New(s.cfg.HTTPClient)})
	in := &secretsmanager.GetSecretValueInput{SecretId: &ref.ID}
	if ref.Version != "" {
		in.VersionId = &ref.Version
	}
	if ref.Stage != "" {
		in.VersionStage = &ref.Stage
	}
	out, err := client.GetSecretValue(ctx, in)
	switch {
	case err != nil:
		return "", plain(err)
	case out.SecretString == nil:
		return "", errors.New("the secret has no SecretString")
	}
	return *out.SecretString, nil
}

func (s *secretSource) parameter(ctx context.Context, creds aws.CredentialsProvider, ref domain.SecretReference) (string, error) {
	client := ssm.New(ssm.Options{Region: s.cfg.Region, Credentials: creds, BaseEndpoint: &s.cfg.ServerURL, HTTPClient: sdkhttp.New(s.cfg.HTTPClient)})
	out, err := client.GetParameters(ctx, &ssm.GetParametersInput{Names: []string{ref.ID}, WithDecryption: aws.Bool(true)})
	switch {
	case err != nil:
		return "", plain(err)
	case len(out.Parameters) != 1:
		return "", fmt.Errorf("invalid parameters: %s", ref.ID)
	}
	return aws.ToString(out.Parameters[0].Value), nil
}

// plain is the server's own word, without the SDK's account of the call.
func plain(err error) error {
	if api := smithy.APIError(nil); errors.As(err, &api) {
		return fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	return err
}
