package ecs

// Subnet is a range of addresses that tasks in the network mode awsvpc get theirs from.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Subnet.html
type Subnet struct {
	// ID is subnet- and 8 or 17 hex digits.
	ID  string `json:"id"`
	VPC string `json:"vpc"`
	// CIDR is IPv4, such as 100.64.16.0/20.
	CIDR string `json:"cidr"`
	Zone string `json:"zone,omitempty"`
}
