package engine

import "roadstead.dev/roadstead/internal/ecs"

// NativeFeatures are those of ecs.NativeFeatures that the engine has. One that leaves the refusals is added here by one line;
// TestNativeFeaturesAgreeWithRefusals holds the two lists together.
var NativeFeatures = []string{
	ecs.FeatureDevices,
	ecs.FeatureLinks,
	ecs.FeatureSecurityOptions,
	ecs.FeatureSharedMemory,
	ecs.FeatureSwap,
	ecs.FeatureTmpfs,
	ecs.FeatureVolumesFrom,
}
