// SPDX-License-Identifier: Apache-2.0

package main

// This file: reading files again while serving: the configuration, the keys by
// which this service proves to EHRs who it is, and its certificate.

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// reloadEvery is how often the files are looked at for a change.
const reloadEvery = 30 * time.Second

// reloaded is something that is read again. What cannot be read leaves what is
// there in use.
type reloaded struct {
	what   string // in the log: "keys"
	reload func() (changed bool, err error)
	now    func() zap.Field // what is in use, for the log
	asked  bool             // read on SIGHUP only
}

// watch reads each again on SIGHUP and when its files change, until stop is
// called.
func watch(logger *zap.Logger, each ...reloaded) (stop func()) {
	hup, done, gone := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(hup, syscall.SIGHUP)
	tick := time.NewTicker(reloadEvery)
	go func() {
		defer close(gone)
		said := make([]string, len(each)) // so that a fault that stays is logged once
		for {
			asked := false
			select {
			case <-done:
				return
			case <-hup:
				asked = true
			case <-tick.C:
			}
			for i, r := range each {
				if r.asked && !asked {
					continue
				}
				changed, err := r.reload()
				switch {
				case err != nil && (asked || err.Error() != said[i]):
					said[i] = err.Error()
					logger.Error(r.what+" not read, what was there stays in use", zap.Error(err))
				case err == nil && (changed || asked):
					said[i] = ""
					logger.Info(r.what+" read", zap.Bool("changed", changed), r.now())
				}
			}
		}
	}()
	return func() {
		signal.Stop(hup)
		tick.Stop()
		close(done)
		<-gone
	}
}
