// Probe is a program as users write them: it asks the AWS SDK for Go who it is, and tells it nothing but the endpoint.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return err
	}
	fmt.Println("I am", aws.ToString(who.Arn))
	api := ecs.NewFromConfig(cfg)
	if _, err := api.ListClusters(ctx, &ecs.ListClustersInput{}); err != nil {
		return err
	}
	_, err = api.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: aws.String("default")})
	fmt.Println("DeleteCluster:", err)
	return nil
}
