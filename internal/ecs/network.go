package ecs

// NetworkConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_NetworkConfiguration.html
type NetworkConfiguration struct {
	AwsvpcConfiguration *AwsVpcConfiguration `json:"awsvpcConfiguration,omitempty"`
}

// AwsVpcConfiguration is the ECS type of that name.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AwsVpcConfiguration.html
type AwsVpcConfiguration struct {
	// AssignPublicIp is ENABLED or DISABLED.
	AssignPublicIp string   `json:"assignPublicIp,omitempty"`
	SecurityGroups []string `json:"securityGroups,omitempty"`
	Subnets        []string `json:"subnets,omitempty"`
}
