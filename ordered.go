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
// order of the patients. work is called concurrently. An error is yielded in
// its place and ends the iteration; so does the end of ctx.
func byPatient[T any](ctx context.Context, folder *fhir.Folder, work func(*fhir.Bag) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for values, err := range byPart(ctx, folder, 0, work) {
			for _, v := range values {
				if !yield(v, nil) {
					return
				}
			}
			if err != nil {
				var none T
				yield(none, err)
				return
			}
		}
	}
}

// byPart is byPatient with the results of one part of the folder at a time,
// from part number first on. At most two results per core wait to be yielded.
func byPart[T any](ctx context.Context, folder *fhir.Folder, first int, work func(*fhir.Bag) (T, error)) iter.Seq2[[]T, error] {
	type result struct {
		value T
		err   error
	}
	// A nil channel ends a part.
	send := func(ctx context.Context, waiting chan<- chan result, out chan result) bool {
		select {
		case waiting <- out:
			return true
		case <-ctx.Done():
			return false
		}
	}
	return func(yield func([]T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		workers := runtime.GOMAXPROCS(0)
		waiting := make(chan chan result, 2*workers)
		slots := make(chan struct{}, workers)
		go func() {
			defer close(waiting)
			for i := first; i < folder.Parts(); i++ {
				part, err := folder.Part(i)
				if err != nil {
					out := make(chan result, 1)
					out <- result{err: err}
					send(ctx, waiting, out)
					return
				}
				for _, id := range part.Patients {
					out := make(chan result, 1)
					if !send(ctx, waiting, out) {
						return
					}
					slots <- struct{}{}
					go func() {
						defer func() { <-slots }()
						var r result
						if r.err = ctx.Err(); r.err == nil {
							var bag *fhir.Bag
							if bag, r.err = part.Bag(id); r.err == nil {
								r.value, r.err = work(bag)
							}
						}
						out <- r
					}()
				}
				if !send(ctx, waiting, nil) {
					return
				}
			}
		}()
		// Every goroutine is waited for, so that the folder can be closed after.
		defer func() {
			cancel()
			for out := range waiting {
				if out != nil {
					<-out
				}
			}
		}()
		var values []T
		for out := range waiting {
			if out == nil {
				if !yield(values, nil) {
					return
				}
				values = nil
				continue
			}
			r := <-out
			if r.err != nil {
				yield(values, r.err)
				return
			}
			values = append(values, r.value)
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}
