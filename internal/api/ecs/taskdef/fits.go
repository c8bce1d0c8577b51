package taskdef

// FitsFargate tells whether Fargate has tasks of a size, in cpu units and MiB.
func FitsFargate(cpu, memory int32) bool { return fargateSize(cpu, memory) }
