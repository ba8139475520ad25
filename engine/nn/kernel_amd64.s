// SPDX-License-Identifier: Apache-2.0

//go:build !noasm

#include "textflag.h"

// Kernels of products, logistics and training for processors with AVX2. Each
// computes many output columns at the same time and, for every one of them, the same
// multiplications and additions in the same order as the plain loops of
// kernel.go, each rounded on its own: no fused multiply-add, no sums split over
// lanes. Results are therefore equal bit for bit.

// func tile4x16(k int, a *float32, ai, al int, b *float32, ldb int, c *float32, ldc int)
// c[i][j] += sum over l of a[i*ai + l*al] * b[l*ldb + j], 4 rows, 16 columns.
// Strides are in elements.
TEXT ·tile4x16(SB), NOSPLIT, $0-64
	MOVQ k+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ ai+16(FP), R8
	MOVQ al+24(FP), R9
	MOVQ b+32(FP), DI
	MOVQ ldb+40(FP), R10
	MOVQ c+48(FP), DX
	MOVQ ldc+56(FP), R11
	SHLQ $2, R8
	SHLQ $2, R9
	SHLQ $2, R10
	SHLQ $2, R11
	LEAQ (SI)(R8*2), R12  // row 2 of a
	LEAQ (DX)(R11*2), R13 // row 2 of c
	VMOVUPS (DX), Y0
	VMOVUPS 32(DX), Y1
	VMOVUPS (DX)(R11*1), Y2
	VMOVUPS 32(DX)(R11*1), Y3
	VMOVUPS (R13), Y4
	VMOVUPS 32(R13), Y5
	VMOVUPS (R13)(R11*1), Y6
	VMOVUPS 32(R13)(R11*1), Y7
loop4x16:
	VMOVUPS (DI), Y8
	VMOVUPS 32(DI), Y9
	VBROADCASTSS (SI), Y10
	VBROADCASTSS (SI)(R8*1), Y11
	VMULPS Y8, Y10, Y12
	VMULPS Y9, Y10, Y13
	VMULPS Y8, Y11, Y14
	VMULPS Y9, Y11, Y15
	VADDPS Y12, Y0, Y0
	VADDPS Y13, Y1, Y1
	VADDPS Y14, Y2, Y2
	VADDPS Y15, Y3, Y3
	VBROADCASTSS (R12), Y10
	VBROADCASTSS (R12)(R8*1), Y11
	VMULPS Y8, Y10, Y12
	VMULPS Y9, Y10, Y13
	VMULPS Y8, Y11, Y14
	VMULPS Y9, Y11, Y15
	VADDPS Y12, Y4, Y4
	VADDPS Y13, Y5, Y5
	VADDPS Y14, Y6, Y6
	VADDPS Y15, Y7, Y7
	ADDQ R9, SI
	ADDQ R9, R12
	ADDQ R10, DI
	DECQ CX
	JNZ  loop4x16
	VMOVUPS Y0, (DX)
	VMOVUPS Y1, 32(DX)
	VMOVUPS Y2, (DX)(R11*1)
	VMOVUPS Y3, 32(DX)(R11*1)
	VMOVUPS Y4, (R13)
	VMOVUPS Y5, 32(R13)
	VMOVUPS Y6, (R13)(R11*1)
	VMOVUPS Y7, 32(R13)(R11*1)
	VZEROUPPER
	RET

// func tile8x32(k int, a *float32, ai, al int, b *float32, ldb int, c *float32, ldc int)
// As tile4x16 with 8 rows and 32 columns, for processors with AVX-512: wider
// registers, the same multiplications and additions, the same bits. An element
// of a is broadcast by the multiplication that reads it, which costs nothing;
// an instruction of its own would cost a third of the speed.
TEXT ·tile8x32(SB), NOSPLIT, $0-64
	MOVQ k+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ ai+16(FP), R8
	MOVQ al+24(FP), R9
	MOVQ b+32(FP), DI
	MOVQ ldb+40(FP), R10
	MOVQ c+48(FP), DX
	MOVQ ldc+56(FP), R11
	SHLQ $2, R8
	SHLQ $2, R9
	SHLQ $2, R10
	SHLQ $2, R11
	LEAQ (R8)(R8*2), AX
	LEAQ (SI)(AX*1), R12 // row 3 of a
	ADDQ R12, AX         // row 6 of a
	LEAQ (R11)(R11*2), BX
	LEAQ (DX)(BX*1), R13 // row 3 of c
	ADDQ R13, BX         // row 6 of c
	VMOVUPS (DX), Z0
	VMOVUPS 64(DX), Z1
	VMOVUPS (DX)(R11*1), Z2
	VMOVUPS 64(DX)(R11*1), Z3
	VMOVUPS (DX)(R11*2), Z4
	VMOVUPS 64(DX)(R11*2), Z5
	VMOVUPS (R13), Z6
	VMOVUPS 64(R13), Z7
	VMOVUPS (R13)(R11*1), Z8
	VMOVUPS 64(R13)(R11*1), Z9
	VMOVUPS (R13)(R11*2), Z10
	VMOVUPS 64(R13)(R11*2), Z11
	VMOVUPS (BX), Z12
	VMOVUPS 64(BX), Z13
	VMOVUPS (BX)(R11*1), Z14
	VMOVUPS 64(BX)(R11*1), Z15
loop8x32:
	VMOVUPS (DI), Z16
	VMOVUPS 64(DI), Z17
	VMULPS.BCST (SI), Z16, Z18
	VMULPS.BCST (SI), Z17, Z19
	VADDPS Z18, Z0, Z0
	VADDPS Z19, Z1, Z1
	VMULPS.BCST (SI)(R8*1), Z16, Z22
	VMULPS.BCST (SI)(R8*1), Z17, Z23
	VADDPS Z22, Z2, Z2
	VADDPS Z23, Z3, Z3
	VMULPS.BCST (SI)(R8*2), Z16, Z26
	VMULPS.BCST (SI)(R8*2), Z17, Z27
	VADDPS Z26, Z4, Z4
	VADDPS Z27, Z5, Z5
	VMULPS.BCST (R12), Z16, Z18
	VMULPS.BCST (R12), Z17, Z19
	VADDPS Z18, Z6, Z6
	VADDPS Z19, Z7, Z7
	VMULPS.BCST (R12)(R8*1), Z16, Z22
	VMULPS.BCST (R12)(R8*1), Z17, Z23
	VADDPS Z22, Z8, Z8
	VADDPS Z23, Z9, Z9
	VMULPS.BCST (R12)(R8*2), Z16, Z26
	VMULPS.BCST (R12)(R8*2), Z17, Z27
	VADDPS Z26, Z10, Z10
	VADDPS Z27, Z11, Z11
	VMULPS.BCST (AX), Z16, Z18
	VMULPS.BCST (AX), Z17, Z19
	VADDPS Z18, Z12, Z12
	VADDPS Z19, Z13, Z13
	VMULPS.BCST (AX)(R8*1), Z16, Z22
	VMULPS.BCST (AX)(R8*1), Z17, Z23
	VADDPS Z22, Z14, Z14
	VADDPS Z23, Z15, Z15
	ADDQ R9, SI
	ADDQ R9, R12
	ADDQ R9, AX
	ADDQ R10, DI
	DECQ CX
	JNZ  loop8x32
	VMOVUPS Z0, (DX)
	VMOVUPS Z1, 64(DX)
	VMOVUPS Z2, (DX)(R11*1)
	VMOVUPS Z3, 64(DX)(R11*1)
	VMOVUPS Z4, (DX)(R11*2)
	VMOVUPS Z5, 64(DX)(R11*2)
	VMOVUPS Z6, (R13)
	VMOVUPS Z7, 64(R13)
	VMOVUPS Z8, (R13)(R11*1)
	VMOVUPS Z9, 64(R13)(R11*1)
	VMOVUPS Z10, (R13)(R11*2)
	VMOVUPS Z11, 64(R13)(R11*2)
	VMOVUPS Z12, (BX)
	VMOVUPS Z13, 64(BX)
	VMOVUPS Z14, (BX)(R11*1)
	VMOVUPS Z15, 64(BX)(R11*1)
	VZEROUPPER
	RET

// func tile4x8(k int, a *float32, ai, al int, b *float32, ldb int, c *float32, ldc int, mask *uint32)
// As tile4x16 with the columns among 8 whose mask is set.
TEXT ·tile4x8(SB), NOSPLIT, $0-72
	MOVQ k+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ ai+16(FP), R8
	MOVQ al+24(FP), R9
	MOVQ b+32(FP), DI
	MOVQ ldb+40(FP), R10
	MOVQ c+48(FP), DX
	MOVQ ldc+56(FP), R11
	MOVQ mask+64(FP), AX
	VMOVUPS (AX), Y7
	SHLQ $2, R8
	SHLQ $2, R9
	SHLQ $2, R10
	SHLQ $2, R11
	LEAQ (SI)(R8*2), R12
	LEAQ (DX)(R11*2), R13
	VMASKMOVPS (DX), Y7, Y0
	VMASKMOVPS (DX)(R11*1), Y7, Y1
	VMASKMOVPS (R13), Y7, Y2
	VMASKMOVPS (R13)(R11*1), Y7, Y3
loop4x8:
	VMASKMOVPS (DI), Y7, Y8
	VBROADCASTSS (SI), Y9
	VBROADCASTSS (SI)(R8*1), Y10
	VBROADCASTSS (R12), Y11
	VBROADCASTSS (R12)(R8*1), Y12
	VMULPS Y8, Y9, Y9
	VMULPS Y8, Y10, Y10
	VMULPS Y8, Y11, Y11
	VMULPS Y8, Y12, Y12
	VADDPS Y9, Y0, Y0
	VADDPS Y10, Y1, Y1
	VADDPS Y11, Y2, Y2
	VADDPS Y12, Y3, Y3
	ADDQ R9, SI
	ADDQ R9, R12
	ADDQ R10, DI
	DECQ CX
	JNZ  loop4x8
	VMASKMOVPS Y0, Y7, (DX)
	VMASKMOVPS Y1, Y7, (DX)(R11*1)
	VMASKMOVPS Y2, Y7, (R13)
	VMASKMOVPS Y3, Y7, (R13)(R11*1)
	VZEROUPPER
	RET

// func tile1x64(k int, a *float32, al int, b *float32, ldb int, c *float32)
// One row, 64 columns.
TEXT ·tile1x64(SB), NOSPLIT, $0-48
	MOVQ k+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ al+16(FP), R9
	MOVQ b+24(FP), DI
	MOVQ ldb+32(FP), R10
	MOVQ c+40(FP), DX
	SHLQ $2, R9
	SHLQ $2, R10
	VMOVUPS (DX), Y0
	VMOVUPS 32(DX), Y1
	VMOVUPS 64(DX), Y2
	VMOVUPS 96(DX), Y3
	VMOVUPS 128(DX), Y4
	VMOVUPS 160(DX), Y5
	VMOVUPS 192(DX), Y6
	VMOVUPS 224(DX), Y7
loop1x64:
	VBROADCASTSS (SI), Y8
	VMULPS (DI), Y8, Y9
	VMULPS 32(DI), Y8, Y10
	VMULPS 64(DI), Y8, Y11
	VMULPS 96(DI), Y8, Y12
	VADDPS Y9, Y0, Y0
	VADDPS Y10, Y1, Y1
	VADDPS Y11, Y2, Y2
	VADDPS Y12, Y3, Y3
	VMULPS 128(DI), Y8, Y9
	VMULPS 160(DI), Y8, Y10
	VMULPS 192(DI), Y8, Y11
	VMULPS 224(DI), Y8, Y12
	VADDPS Y9, Y4, Y4
	VADDPS Y10, Y5, Y5
	VADDPS Y11, Y6, Y6
	VADDPS Y12, Y7, Y7
	ADDQ R9, SI
	ADDQ R10, DI
	DECQ CX
	JNZ  loop1x64
	VMOVUPS Y0, (DX)
	VMOVUPS Y1, 32(DX)
	VMOVUPS Y2, 64(DX)
	VMOVUPS Y3, 96(DX)
	VMOVUPS Y4, 128(DX)
	VMOVUPS Y5, 160(DX)
	VMOVUPS Y6, 192(DX)
	VMOVUPS Y7, 224(DX)
	VZEROUPPER
	RET

// func tile1x8(k int, a *float32, al int, b *float32, ldb int, c *float32, mask *uint32)
// One row, the columns among 8 whose mask is set.
TEXT ·tile1x8(SB), NOSPLIT, $0-56
	MOVQ k+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ al+16(FP), R9
	MOVQ b+24(FP), DI
	MOVQ ldb+32(FP), R10
	MOVQ c+40(FP), DX
	MOVQ mask+48(FP), AX
	VMOVUPS (AX), Y7
	SHLQ $2, R9
	SHLQ $2, R10
	VMASKMOVPS (DX), Y7, Y0
loop1x8:
	VBROADCASTSS (SI), Y8
	VMASKMOVPS (DI), Y7, Y9
	VMULPS Y9, Y8, Y9
	VADDPS Y9, Y0, Y0
	ADDQ R9, SI
	ADDQ R10, DI
	DECQ CX
	JNZ  loop1x8
	VMASKMOVPS Y0, Y7, (DX)
	VZEROUPPER
	RET

// func logistic8(n int, y, x *float32, c *logisticConstants)
// y[i] = c.scale / (1 + e^(c.slope*x[i])) + c.shift for n values, a multiple
// of 8. The steps are those of logisticOf.
TEXT ·logistic8(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	MOVQ y+8(FP), DI
	MOVQ x+16(FP), SI
	MOVQ c+24(FP), AX
	VBROADCASTSS 0(AX), Y15  // slope
	VBROADCASTSS 12(AX), Y14 // lowest exponent
	VBROADCASTSS 16(AX), Y13 // highest exponent
	VBROADCASTSS 20(AX), Y12 // log2(e)
	VBROADCASTSS 24(AX), Y11 // 1.5 * 2^23
	VBROADCASTSS 28(AX), Y10 // ln 2, high part
	VBROADCASTSS 32(AX), Y9  // ln 2, low part
	VBROADCASTSS 36(AX), Y8  // 1
	SHRQ $3, CX
loop8:
	VMULPS (SI), Y15, Y0
	VMAXPS Y0, Y14, Y0
	VMINPS Y0, Y13, Y0
	VMULPS Y12, Y0, Y1
	VADDPS Y11, Y1, Y1
	VSUBPS Y11, Y1, Y2 // whole number of powers of two
	VMULPS Y10, Y2, Y3
	VSUBPS Y3, Y0, Y0
	VMULPS Y9, Y2, Y3
	VSUBPS Y3, Y0, Y0  // rest, |rest| <= ln(2)/2
	VBROADCASTSS 40(AX), Y4
	VMULPS Y0, Y4, Y4
	VBROADCASTSS 44(AX), Y5
	VADDPS Y5, Y4, Y4
	VMULPS Y0, Y4, Y4
	VBROADCASTSS 48(AX), Y5
	VADDPS Y5, Y4, Y4
	VMULPS Y0, Y4, Y4
	VBROADCASTSS 52(AX), Y5
	VADDPS Y5, Y4, Y4
	VMULPS Y0, Y4, Y4
	VBROADCASTSS 56(AX), Y5
	VADDPS Y5, Y4, Y4
	VMULPS Y0, Y4, Y4
	VADDPS Y8, Y4, Y4
	VMULPS Y0, Y4, Y4
	VADDPS Y8, Y4, Y4
	VPSLLD $23, Y1, Y1
	VPADDD Y8, Y1, Y1  // the bits of 1 are 127<<23
	VMULPS Y1, Y4, Y4
	VADDPS Y8, Y4, Y4
	VBROADCASTSS 4(AX), Y5
	VDIVPS Y4, Y5, Y4
	VBROADCASTSS 8(AX), Y5
	VADDPS Y5, Y4, Y4
	VMOVUPS Y4, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  loop8
	VZEROUPPER
	RET

// func stepBack8(n, wide int, gates, fresh, before, d, dx, dp *float32)
// One row of GRU.StepBack over n units, a multiple of 8, of a layer that is
// wide units wide. The steps are those of stepBackGo. A nil before is the zero
// state.
TEXT ·stepBack8(SB), NOSPLIT, $0-64
	MOVQ n+0(FP), CX
	MOVQ wide+8(FP), R12
	MOVQ gates+16(FP), SI
	MOVQ fresh+24(FP), R8
	MOVQ before+32(FP), R9
	MOVQ d+40(FP), DI
	MOVQ dx+48(FP), R10
	MOVQ dp+56(FP), R11
	SHLQ $2, R12 // bytes from one gate to the next
	SHRQ $3, CX
	MOVL $0x3f800000, AX
	VMOVD AX, X15
	VPBROADCASTD X15, Y15 // 1
back8:
	VMOVUPS (SI), Y0         // r
	VMOVUPS (SI)(R12*1), Y1  // z
	VMOVUPS (SI)(R12*2), Y2  // candidate
	VMOVUPS (DI), Y3         // d
	VXORPS Y4, Y4, Y4
	TESTQ R9, R9
	JZ   none8
	VMOVUPS (R9), Y4
	ADDQ $32, R9
none8:
	VSUBPS Y1, Y15, Y5 // 1-z
	VMULPS Y2, Y2, Y6
	VSUBPS Y6, Y15, Y6 // 1-c*c
	VMULPS Y5, Y3, Y7
	VMULPS Y6, Y7, Y7 // dc
	VMULPS (R8), Y7, Y8
	VMULPS Y0, Y8, Y8
	VSUBPS Y0, Y15, Y9
	VMULPS Y9, Y8, Y8 // dr
	VSUBPS Y2, Y4, Y9
	VMULPS Y9, Y3, Y9
	VMULPS Y1, Y9, Y9
	VMULPS Y5, Y9, Y9  // dz
	VMULPS Y0, Y7, Y10 // dc*r
	VMULPS Y1, Y3, Y3
	VMOVUPS Y3, (DI)
	VMOVUPS Y8, (R10)
	VMOVUPS Y9, (R10)(R12*1)
	VMOVUPS Y7, (R10)(R12*2)
	VMOVUPS Y8, (R11)
	VMOVUPS Y9, (R11)(R12*1)
	VMOVUPS Y10, (R11)(R12*2)
	ADDQ $32, SI
	ADDQ $32, R8
	ADDQ $32, DI
	ADDQ $32, R10
	ADDQ $32, R11
	DECQ CX
	JNZ  back8
	VZEROUPPER
	RET

// func adam8(n int, theta, grad, m, v *float32, c *adamConstants)
// The steps of adamGo for n parameters, a multiple of 8.
TEXT ·adam8(SB), NOSPLIT, $0-48
	MOVQ n+0(FP), CX
	MOVQ theta+8(FP), DI
	MOVQ grad+16(FP), SI
	MOVQ m+24(FP), R8
	MOVQ v+32(FP), R9
	MOVQ c+40(FP), AX
	VBROADCASTSD 0(AX), Y15  // rate
	VBROADCASTSD 8(AX), Y14  // eps
	VBROADCASTSS 16(AX), Y13 // keep1
	VBROADCASTSS 20(AX), Y12 // take1
	VBROADCASTSS 24(AX), Y11 // keep2
	VBROADCASTSS 28(AX), Y10 // take2
	SHRQ $3, CX
adam8loop:
	VMOVUPS (SI), Y0
	VMULPS (R8), Y13, Y1
	VMULPS Y0, Y12, Y2
	VADDPS Y2, Y1, Y1 // m
	VMOVUPS Y1, (R8)
	VMULPS (R9), Y11, Y3
	VMULPS Y0, Y10, Y4
	VMULPS Y0, Y4, Y4
	VADDPS Y4, Y3, Y3 // v
	VMOVUPS Y3, (R9)
	VCVTPS2PD X1, Y5
	VCVTPS2PD X3, Y6
	VEXTRACTF128 $1, Y1, X1
	VEXTRACTF128 $1, Y3, X3
	VCVTPS2PD X1, Y7
	VCVTPS2PD X3, Y8
	VSQRTPD Y6, Y6
	VSQRTPD Y8, Y8
	VADDPD Y14, Y6, Y6
	VADDPD Y14, Y8, Y8
	VMULPD Y5, Y15, Y5
	VMULPD Y7, Y15, Y7
	VDIVPD Y6, Y5, Y5
	VDIVPD Y8, Y7, Y7
	VCVTPD2PSY Y5, X5
	VCVTPD2PSY Y7, X7
	VINSERTF128 $1, X7, Y5, Y5
	VMOVUPS (DI), Y0
	VSUBPS Y5, Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ $32, SI
	ADDQ $32, R8
	ADDQ $32, R9
	ADDQ $32, DI
	DECQ CX
	JNZ  adam8loop
	VZEROUPPER
	RET
