#!/bin/bash
# Training under Slurm, requeued until it has finished:
#
#     sbatch docs/deploy/slurm.sh
#
# Two minutes before the time limit the run gets SIGTERM, writes a checkpoint and ends with 143. The job is then put back into the
# queue and goes on from there. A finished run ends with 0, a diverged one with 1, a refused one with 2: these are not queued again.
#SBATCH --job-name=keras-mgnet
#SBATCH --gpus=1
#SBATCH --time=01:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append

srun keras-mgnet train cifar10 --model resnet18_shared_a --out runs/resnet18_shared_a --resume
code=$?
[ "$code" -eq 143 ] && exec scontrol requeue "$SLURM_JOB_ID"
exit "$code"
