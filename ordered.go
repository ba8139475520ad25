// SPDX-License-Identifier: Apache-2.0

package main

// This file: working on the patients of a folder on all cores while results
// come in the order of the patients, so that output never depends on timing.

import (
	"context"
	"iter"
	"runtime"

	"github.com/sepsisagent/sepsisagent/fhir"
)

// byPatient applies work to every patient's bag and yields the results in the
// order of the patients. work is called concurrently. At most two results per
// core wait to be yielded. An error is yielded in its place and ends the
// iteration; so does the end of ctx.
func byPatient[T any](ctx context.Context, folder *fhir.Folder, work func(*fhir.Bag) (T, error)) iter.Seq2[T, error] {
	type result struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		workers := runtime.GOMAXPROCS(0)
		waiting := make(chan chan result, 2*workers)
		slots := make(chan struct{}, workers)
		go func() {
			defer close(waiting)
			for _, id := range folder.Patients() {
				out := make(chan result, 1)
				select {
				case waiting <- out:
				case <-ctx.Done():
					return
				}
				slots <- struct{}{}
				go func() {
					defer func() { <-slots }()
					var r result
					if r.err = ctx.Err(); r.err == nil {
						var bag *fhir.Bag
						if bag, r.err = folder.Bag(id); r.err == nil {
							r.value, r.err = work(bag)
						}
					}
					out <- r
				}()
			}
		}()
		// Every goroutine is waited for, so that the folder can be closed after.
		defer func() {
			cancel()
			for out := range waiting {
				<-out
			}
		}()
		for out := range waiting {
			r := <-out
			if !yield(r.value, r.err) || r.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			var none T
			yield(none, err)
		}
	}
}
