#!/bin/bash
# Trains under Slurm, and requeues the job until the run has finished:
#
#     sbatch docs/deploy/slurm.sh
#
# Two minutes before the time limit the run gets SIGTERM, writes a checkpoint and ends with 143. The job is then requeued and
# continues from the checkpoint. It is not requeued after 0 (finished), 1 (diverged) and 2 (refused).
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
