package ecs

// Distribute says how many of count tasks each item of a capacity provider strategy gets, in the items' order. First come the
// bases; what is left is shared by weight, each provider getting less than one task more or less than its exact share. One
// task more never takes one away from a provider, so that a service that grows moves no task. The same items and count give
// the same answer: where shares are equal the earlier item goes first.
//
// A single item is all there is to choose from, so its weight may be 0. With several of weight 0 and no base left, tasks
// remain that nobody gets.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProviderStrategyItem.html
func Distribute(items []CapacityProviderStrategyItem, count int) []int {
	out := make([]int, len(items))
	rest := max(count, 0)
	weights, sum := make([]int, len(items)), 0
	for i, it := range items {
		base := min(int(max(it.Base, 0)), rest)
		out[i] = base
		rest -= base
		weights[i] = int(max(it.Weight, 0))
		sum += weights[i]
	}
	if len(items) == 1 {
		weights[0], sum = 1, 1
	}
	if sum == 0 {
		return out
	}
	share(out, weights, sum, rest)
	return out
}

// share adds n tasks by weight, by the quota method of M. Balinski and H. Young (The Quota Method of Apportionment, 1975):
// the next task goes to the largest weight per task, among those that it does not take past their exact share rounded up.
// Every full round of sum tasks gives each its weight, so that only the rest of it is gone through.
func share(out, weights []int, sum, n int) {
	given := make([]int, len(weights))
	for k := 1; k <= n%sum; k++ {
		next := -1
		for i, w := range weights {
			if given[i]*sum >= k*w {
				continue
			}
			if next < 0 || w*(given[next]+1) > weights[next]*(given[i]+1) {
				next = i
			}
		}
		given[next]++
	}
	for i := range out {
		out[i] += n/sum*weights[i] + given[i]
	}
}
