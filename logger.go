// SPDX-License-Identifier: Apache-2.0

package main

// This file: the one logger, JSON lines on standard error. Only the edge logs;
// rooms return errors. Nothing about a patient is ever a field.

import (
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func newLogger(w io.Writer) *zap.Logger {
	cfg := zap.NewProductionEncoderConfig()
	cfg.TimeKey, cfg.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(cfg), zapcore.Lock(zapcore.AddSync(w)), zap.InfoLevel)
	return zap.New(core)
}
